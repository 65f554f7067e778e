"""`/v1/readers/{reader_id}/papers`: what a reader likes, does not, and saves."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.api.auth import CallerOf
from app.api.listings import BAD_CURSOR
from app.api.paper_models import BulkFeedback, PaperIds, PaperList, PapersRequest, PaperView
from app.api.tasks import BODY, CONFLICT, EVERYWHERE, NOT_FOUND, ServicesOf
from app.errors import BroadsheetError
from app.models import Article
from app.persistence.item_keys import item_keys
from app.persistence.items import Items
from app.persistence.reader_papers import FeedbackChange, PaperInput
from app.ranking.reader_paper import paper_of

BIBTEX = "application/x-bibtex"


BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": f"#/components/schemas/{PapersRequest.__name__}"}},
            BIBTEX: {"schema": {"type": "string"}},
        },
    },
}

router = APIRouter(prefix="/v1/readers/{reader_id}/papers", tags=["readers"], responses=EVERYWHERE | NOT_FOUND)


class NotUtf8(BroadsheetError):
    """A BibTeX file is in another encoding."""

    status = HTTPStatus.BAD_REQUEST
    title = "Not UTF-8"


@router.post("", responses=BODY | CONFLICT, openapi_extra=BODIES)
async def put_papers(
    reader_id: UUID,
    request: Request,
    caller: CallerOf,
    services: ServicesOf,
    feedback: Annotated[
        BulkFeedback, Query(description="Of BibTeX: what the reader says of all its papers.")
    ] = BulkFeedback.LIKED,
) -> PaperIds:
    """Say what a reader likes, does not, or saves: up to 500 papers as JSON or as BibTeX, all or none.

    A paper is known under each of its names; repeating it changes nothing. arXiv is asked for what has only its id.
    """
    await services.readers.get(reader_id, caller.sees)
    sent = await _sent(request, feedback)
    papers = await known_or_read([article for article, _ in sent], services.items)
    ids = await services.reader_papers.put(reader_id, list(zip(papers, (says for _, says in sent), strict=True)))
    return PaperIds(paper_ids=ids)


@router.get("", responses=BAD_CURSOR)
async def list_papers(
    reader_id: UUID,
    caller: CallerOf,
    services: ServicesOf,
    saved: Annotated[bool, Query(description="What was saved alone, last saved first.")] = False,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")] = None,
) -> PaperList:
    """List a reader's papers, newest first."""
    await services.readers.get(reader_id, caller.sees)
    read = services.reader_papers.saved if saved else services.reader_papers.page
    page = await read(reader_id, limit=limit, cursor=cursor)
    return PaperList(papers=[PaperView.of(paper) for paper in page.papers], next_cursor=page.next_cursor)


@router.delete("/{paper_id}", status_code=HTTPStatus.NO_CONTENT)
async def remove_paper(reader_id: UUID, paper_id: UUID, caller: CallerOf, services: ServicesOf) -> None:
    """Forget a paper and what was said of it."""
    await services.readers.get(reader_id, caller.sees)
    await services.reader_papers.get(reader_id, paper_id)
    await services.reader_papers.remove(reader_id, paper_id)


async def _sent(request: Request, feedback: BulkFeedback) -> list[tuple[Article, FeedbackChange]]:
    body = await request.body()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == BIBTEX:
        return [(article, feedback.says) for article in await _read_bibtex(body)]
    try:
        wanted = PapersRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error
    return [(paper.article, paper.says) for paper in wanted.papers]


async def _read_bibtex(body: bytes) -> list[Article]:
    # Imported by whoever needs it: the libraries take a tenth of a second.
    from app.sources.bibtex import BibtexReader  # noqa: PLC0415  (the comment above says why)

    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotUtf8(f"The byte {error.start} is not UTF-8: save the file in that encoding.") from error
    reader = BibtexReader()
    await reader.read(text)
    bad = [{"loc": ("body", f"line {each.line}", each.key), "msg": str(each)} for each in reader.bad]
    if bad or not reader.entries:
        raise RequestValidationError(bad or [{"loc": ("body",), "msg": "there is no entry: @article{key, ...}"}])
    return [entry.article for entry in reader.entries]


async def known_or_read(articles: Sequence[Article], items: Items) -> list[PaperInput]:
    """The articles as papers; of those without an abstract what our own items say, if they know them."""
    keys = {key for article in articles if not article.abstract for key in _strong_keys(article)}
    known = await items.find_by_keys(sorted(keys)) if keys else {}
    papers = []
    for article in articles:
        given = paper_of(article)
        found = None if article.abstract else next(filter(None, map(known.get, _strong_keys(article))), None)
        papers.append(_filled(given, paper_of(found)) if found is not None else given)
        await asyncio.sleep(0)
    return papers


def _strong_keys(article: Article) -> list[str]:
    return [key for key in item_keys(article) if key.startswith(("arxiv:", "doi:"))]


def _filled(given: PaperInput, known: PaperInput) -> PaperInput:
    if given.arxiv_id and known.arxiv_id not in {None, given.arxiv_id}:
        return given  # Two arXiv ids are two papers, whatever DOI they share.
    names = {"keys": tuple(dict.fromkeys((*given.keys, *known.keys)))}
    ids = {"arxiv_id": given.arxiv_id or known.arxiv_id, "doi": given.doi or known.doi}
    return known.model_copy(update=names | ids)
