"""`/v1/readers/{reader_id}/papers`: the papers that a reader likes, dislikes or saves, and imports of libraries."""

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.api.auth import CallerOf
from app.api.imports import ImportView, import_view
from app.api.library_types import JSON, LIBRARY_TYPES, is_library, media_type_of
from app.api.paging import BAD_CURSOR, Cursor, Limit
from app.api.paper_models import PaperIds, PaperList, PapersRequest, PaperView
from app.api.tasks import (
    BODY_ERRORS,
    COMMON_ERRORS,
    CONFLICT,
    NOT_FOUND,
    QUOTA,
    IdempotencyKey,
    ServicesOf,
    TaskCreatorOf,
)
from app.api.uploads import UploadTarget, receive_library
from app.api.waiting import EndWaiterOf
from app.models.articles import Article, Publication
from app.persistence.reader_papers import BulkFeedback, FeedbackChange
from app.ranking.known_papers import with_known_abstracts
from app.services import Services

REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"$ref": f"#/components/schemas/{PapersRequest.__name__}"}},
            **{name: {"schema": {"type": "string", "description": text}} for name, text in LIBRARY_TYPES.items()},
        },
    },
}
PUT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": PaperIds, "description": "The feedback on JSON's papers is stored"},
    202: {"model": ImportView, "description": "The library is received; a task imports it"},
}

router = APIRouter(prefix="/v1/readers/{reader_id}/papers", tags=["readers"], responses=COMMON_ERRORS | NOT_FOUND)


@router.post(
    "",
    response_model=None,
    responses=BODY_ERRORS | CONFLICT | QUOTA | PUT_RESPONSES,
    openapi_extra=REQUEST_BODY,
)
async def put_papers(
    reader_id: UUID,
    request: Request,
    caller: CallerOf,
    services: ServicesOf,
    waiter: EndWaiterOf,
    response: Response,
    creator: TaskCreatorOf,
    idempotency_key: IdempotencyKey = None,
    feedback: Annotated[
        BulkFeedback, Query(description="For a library: the feedback on all its papers.")
    ] = BulkFeedback.LIKED,
    callback_url: Annotated[
        str | None, Query(max_length=2000, description="For a library: called when its import has ended.")
    ] = None,
) -> PaperIds | ImportView:
    """Store a reader's feedback on up to 500 papers as JSON, all or none; or import a library.

    A library (BibTeX, RIS, CSL JSON, or a list of DOIs, arXiv ids or links) has up to 20,000 entries or 50 MB. The
    response is 202 with the task that imports it. Its report has each entry that was rejected, with line and reason.

    A paper is recognized by each of its ids; a repeated request changes nothing. arXiv is queried for papers that have
    only an arXiv id, Crossref for those that have only a DOI.
    """
    await services.readers.get(reader_id, caller.visible_owner)
    media_type = media_type_of(request.headers.get("content-type", ""))
    # CSL JSON is a list, feedback is an object.
    if not is_library(media_type) and not (media_type == JSON and (await request.body()).lstrip()[:1] == b"["):
        return await _store(services, reader_id, await request.body())
    if callback_url is not None:
        creator.require_callable(callback_url)
    target = UploadTarget(caller.name, reader_id, idempotency_key)
    async with receive_library(request, services.uploads, target) as upload:
        async for chunk in request.stream():
            await upload.write(chunk)
        task = await upload.finish(feedback, media_type=media_type, callback_url=callback_url)
    response.status_code = HTTPStatus.ACCEPTED
    return await import_view(services, response, await waiter.wait_for_end(task))


@router.get("", responses=BAD_CURSOR)
async def list_papers(
    reader_id: UUID,
    caller: CallerOf,
    services: ServicesOf,
    saved: Annotated[bool, Query(description="Only saved papers, last saved first.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PaperList:
    """List a reader's papers, newest first."""
    await services.readers.get(reader_id, caller.visible_owner)
    read = services.reader_papers.saved if saved else services.reader_papers.page
    page = await read(reader_id, limit=limit, cursor=cursor)
    return PaperList(papers=[PaperView.of(paper) for paper in page.papers], next_cursor=page.next_cursor)


@router.delete("/{paper_id}", status_code=HTTPStatus.NO_CONTENT)
async def remove_paper(reader_id: UUID, paper_id: UUID, caller: CallerOf, services: ServicesOf) -> None:
    """Remove a paper and its feedback."""
    await services.readers.get(reader_id, caller.visible_owner)
    await services.reader_papers.get(reader_id, paper_id)
    await services.reader_papers.remove(reader_id, paper_id)


async def _store(services: Services, reader_id: UUID, body: bytes) -> PaperIds:
    try:
        document = PapersRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error
    described: list[tuple[Article, Publication | None]] = [(paper.article, None) for paper in document.papers]
    papers = await with_known_abstracts(described, services.items)
    changes: list[FeedbackChange] = [paper.feedback for paper in document.papers]
    return PaperIds(paper_ids=await services.reader_papers.put(reader_id, list(zip(papers, changes, strict=True))))
