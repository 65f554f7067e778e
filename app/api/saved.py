"""`/v1/readers/{reader_id}/saved.bib` and `saved.ris`: a reader's saved papers, for reference managers."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from app.api.auth import CallerOf
from app.api.tasks import COMMON_ERRORS, NOT_FOUND, ServicesOf
from app.digest.bibtex import MEDIA_TYPE as BIBTEX_TYPE
from app.digest.bibtex import bibtex_entries
from app.digest.ris import MEDIA_TYPE as RIS_TYPE
from app.digest.ris import ris_entries
from app.persistence.reader_papers import ReaderPaper, ReaderPapers
from app.time_slice import TimeSlice

Writer = Callable[[Iterable[ReaderPaper]], Iterator[str]]
"""Converts papers to entries, one by one."""

router = APIRouter(prefix="/v1/readers", tags=["readers"], responses=COMMON_ERRORS)


def attachment(name: str) -> dict[str, str]:
    """Return the header that makes a browser store the response as a file."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def _responses(media_type: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type.partition(";")[0]: {"schema": {"type": "string"}}}
    return NOT_FOUND | {200: {"content": content, "description": "One entry per paper, first saved first"}}


@router.get("/{reader_id}/saved.bib", response_class=StreamingResponse, responses=_responses(BIBTEX_TYPE))
async def get_saved(reader_id: UUID, caller: CallerOf, services: ServicesOf) -> StreamingResponse:
    """Get a reader's saved papers as BibTeX."""
    reader = await services.readers.get(reader_id, caller.visible_owner)
    content = await saved_bibtex(services.reader_papers, reader.reader_id)
    return StreamingResponse(content, media_type=BIBTEX_TYPE, headers=attachment("saved.bib"))


@router.get("/{reader_id}/saved.ris", response_class=StreamingResponse, responses=_responses(RIS_TYPE))
async def get_saved_ris(reader_id: UUID, caller: CallerOf, services: ServicesOf) -> StreamingResponse:
    """Get a reader's saved papers as RIS."""
    reader = await services.readers.get(reader_id, caller.visible_owner)
    content = await saved_ris(services.reader_papers, reader.reader_id)
    return StreamingResponse(content, media_type=RIS_TYPE, headers=attachment("saved.ris"))


async def saved_bibtex(papers: ReaderPapers, reader_id: UUID) -> AsyncIterator[str]:
    """Return a reader's saved papers as BibTeX, first saved first, a page at a time. Raises `SupabaseError`."""
    return await _saved(papers, reader_id, bibtex_entries)


async def saved_ris(papers: ReaderPapers, reader_id: UUID) -> AsyncIterator[str]:
    """Return a reader's saved papers as RIS, first saved first, a page at a time. Raises `SupabaseError`."""
    return await _saved(papers, reader_id, ris_entries)


async def _saved(papers: ReaderPapers, reader_id: UUID, write: Writer) -> AsyncIterator[str]:
    pages = papers.saved_pages(reader_id)
    # The first page is read before the response starts, so that an error can still become a problem document.
    first = await anext(pages, None)
    return written(first, pages, write)


async def written(
    page: tuple[ReaderPaper, ...] | None, rest: AsyncIterator[tuple[ReaderPaper, ...]], write: Writer
) -> AsyncIterator[str]:
    """Yield the entries of each page. One page is in memory: a reader may have saved 20,000 papers."""
    waiting, time_slice, separator = deque[ReaderPaper](), TimeSlice(), ""
    # One writer for all pages, because a key that is used gets a letter. It is asked only for papers that wait.
    entries = write(iter(waiting.popleft, None))
    while page is not None:
        waiting.extend(page)
        written = []
        while waiting:
            written.append(next(entries))
            await time_slice.checkpoint()
        yield separator + "\n".join(written)
        separator, page = "\n", await anext(rest, None)
