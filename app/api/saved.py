"""`/v1/readers/{reader_id}/saved.bib` and `saved.ris`: a reader's saved papers, for reference managers."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from app.api.auth import CallerOf
from app.api.tasks import COMMON_ERRORS, NOT_FOUND, ServicesOf
from app.digest.bibtex import MEDIA_TYPE as BIBTEX_TYPE
from app.digest.bibtex import bibtex_entries
from app.digest.ris import MEDIA_TYPE as RIS_TYPE
from app.digest.ris import ris_entries
from app.persistence.reader_papers import MAX_PAGE, ReaderPaper, ReaderPapers
from app.time_slice import TimeSlice

Writer = Callable[[Iterable[ReaderPaper]], Iterator[str]]

router = APIRouter(prefix="/v1/readers", tags=["readers"], responses=COMMON_ERRORS)


def attachment(name: str) -> dict[str, str]:
    """Return the header that makes a browser store the response as a file."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def _responses(media_type: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type.partition(";")[0]: {"schema": {"type": "string"}}}
    return NOT_FOUND | {200: {"content": content, "description": "One entry per paper, first saved first"}}


@router.get("/{reader_id}/saved.bib", response_class=Response, responses=_responses(BIBTEX_TYPE))
async def get_saved(reader_id: UUID, caller: CallerOf, services: ServicesOf) -> Response:
    """Get a reader's saved papers as BibTeX."""
    reader = await services.readers.get(reader_id, caller.visible_owner)
    content = await saved_bibtex(services.reader_papers, reader.reader_id)
    return Response(content, media_type=BIBTEX_TYPE, headers=attachment("saved.bib"))


@router.get("/{reader_id}/saved.ris", response_class=Response, responses=_responses(RIS_TYPE))
async def get_saved_ris(reader_id: UUID, caller: CallerOf, services: ServicesOf) -> Response:
    """Get a reader's saved papers as RIS."""
    reader = await services.readers.get(reader_id, caller.visible_owner)
    content = await saved_ris(services.reader_papers, reader.reader_id)
    return Response(content, media_type=RIS_TYPE, headers=attachment("saved.ris"))


async def saved_bibtex(papers: ReaderPapers, reader_id: UUID) -> str:
    """Return a reader's saved papers as BibTeX, first saved first. Raises `SupabaseError`."""
    return await _saved(papers, reader_id, bibtex_entries)


async def saved_ris(papers: ReaderPapers, reader_id: UUID) -> str:
    """Return a reader's saved papers as RIS, first saved first. Raises `SupabaseError`."""
    return await _saved(papers, reader_id, ris_entries)


async def _saved(papers: ReaderPapers, reader_id: UUID, write: Writer) -> str:
    saved: list[ReaderPaper] = []
    page = await papers.saved(reader_id, limit=MAX_PAGE)
    while page.next_cursor is not None:
        saved += page.papers
        page = await papers.saved(reader_id, limit=MAX_PAGE, cursor=page.next_cursor)
    entries, time_slice = list[str](), TimeSlice()
    for entry in write(reversed([*saved, *page.papers])):
        entries.append(entry)
        await time_slice.checkpoint()
    return "\n".join(entries)
