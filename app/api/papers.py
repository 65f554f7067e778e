"""`/v1/readers/{reader_id}/papers`: the papers that a reader likes, dislikes or saves."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.api.auth import CallerOf
from app.api.paging import BAD_CURSOR, Cursor, Limit
from app.api.paper_models import BulkFeedback, PaperIds, PaperList, PapersRequest, PaperView
from app.api.tasks import BODY_ERRORS, COMMON_ERRORS, CONFLICT, NOT_FOUND, ServicesOf
from app.imports.entries import RejectedEntry
from app.models import Article, Publication
from app.persistence.item_keys import item_keys
from app.persistence.items import Items
from app.persistence.reader_papers import MAX_PAPERS_PER_CALL, FeedbackChange, PaperInput
from app.ranking.reader_paper import paper_of

BIBTEX = "application/x-bibtex"


REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": f"#/components/schemas/{PapersRequest.__name__}"}},
            BIBTEX: {"schema": {"type": "string"}},
        },
    },
}

router = APIRouter(prefix="/v1/readers/{reader_id}/papers", tags=["readers"], responses=COMMON_ERRORS | NOT_FOUND)


@router.post("", responses=BODY_ERRORS | CONFLICT, openapi_extra=REQUEST_BODY)
async def put_papers(
    reader_id: UUID,
    request: Request,
    caller: CallerOf,
    services: ServicesOf,
    feedback: Annotated[
        BulkFeedback, Query(description="For BibTeX: the feedback on all its papers.")
    ] = BulkFeedback.LIKED,
) -> PaperIds:
    """Store a reader's feedback on up to 500 papers, as JSON or BibTeX: all or none.

    A paper is recognized by each of its ids; a repeated request changes nothing. arXiv is queried for papers that have
    only an arXiv id.
    """
    await services.readers.get(reader_id, caller.visible_owner)
    sent = await _sent(request, feedback)
    papers = await with_known_abstracts([(article, publication) for article, publication, _ in sent], services.items)
    changes = [change for _, _, change in sent]
    ids = await services.reader_papers.put(reader_id, list(zip(papers, changes, strict=True)))
    return PaperIds(paper_ids=ids)


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


async def _sent(request: Request, feedback: BulkFeedback) -> list[tuple[Article, Publication | None, FeedbackChange]]:
    body = await request.body()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == BIBTEX:
        return [(article, publication, feedback.change) for article, publication in await _read_bibtex(body)]
    try:
        document = PapersRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error
    return [(paper.article, None, paper.feedback) for paper in document.papers]


async def _read_bibtex(body: bytes) -> list[tuple[Article, Publication]]:
    # Imported on first use: loading the libraries takes a tenth of a second.
    from app.imports.library import read_library  # noqa: PLC0415  (the comment above says why)

    papers: list[tuple[Article, Publication]] = []
    async for entry in read_library([body], BIBTEX):
        location = ("body", f"line {entry.line}", entry.key)
        if isinstance(entry, RejectedEntry):
            raise RequestValidationError([{"loc": location, "msg": entry.reason}])
        papers.append((entry.article, entry.publication))
        if len(papers) > MAX_PAPERS_PER_CALL:
            message = f"more than {MAX_PAPERS_PER_CALL} entries: send the rest in another request"
            raise RequestValidationError([{"loc": location, "msg": message}])
    if not papers:
        raise RequestValidationError([{"loc": ("body",), "msg": "the file has no entry such as @article{key, ...}"}])
    return papers


async def with_known_abstracts(
    described: Sequence[tuple[Article, Publication | None]], items: Items
) -> list[PaperInput]:
    """Convert articles to papers; complete those without an abstract from the stored items, where one matches."""
    keys = {key for article, _ in described if not article.abstract for key in _strong_keys(article)}
    known = await items.find_by_keys(sorted(keys)) if keys else {}
    papers = []
    for article, publication in described:
        paper = paper_of(article, publication)
        found = None if article.abstract else next(filter(None, map(known.get, _strong_keys(article))), None)
        papers.append(_merged(paper, paper_of(found)) if found is not None else paper)
        await asyncio.sleep(0)
    return papers


def _strong_keys(article: Article) -> list[str]:
    return [key for key in item_keys(article) if key.startswith(("arxiv:", "doi:"))]


def _merged(paper: PaperInput, known: PaperInput) -> PaperInput:
    if paper.arxiv_id and known.arxiv_id not in {None, paper.arxiv_id}:
        return paper  # Two arXiv ids are two papers, even with the same DOI.
    keys = {"keys": tuple(dict.fromkeys((*paper.keys, *known.keys)))}
    ids = {"arxiv_id": paper.arxiv_id or known.arxiv_id, "doi": paper.doi or known.doi}
    return known.model_copy(update=keys | ids | {"publication": paper.publication})
