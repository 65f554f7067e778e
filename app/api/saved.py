"""`/v1/readers/{reader_id}/saved.bib`: a reader's saved papers, for reference managers."""

import asyncio
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from app.api.auth import CallerOf
from app.api.tasks import COMMON_ERRORS, NOT_FOUND, ServicesOf
from app.digest.bibtex import MEDIA_TYPE, bibtex_entries
from app.persistence.reader_papers import MAX_PAGE, ReaderPaper, ReaderPapers

ATTACHMENT = {"Content-Disposition": 'attachment; filename="saved.bib"'}
BIBTEX_TYPE = MEDIA_TYPE.partition(";")[0]
BIBTEX: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {BIBTEX_TYPE: {"schema": {"type": "string"}}},
        "description": "One entry per paper, first saved first",
    }
}

router = APIRouter(prefix="/v1/readers", tags=["readers"], responses=COMMON_ERRORS)


@router.get("/{reader_id}/saved.bib", response_class=Response, responses=NOT_FOUND | BIBTEX)
async def get_saved(reader_id: UUID, caller: CallerOf, services: ServicesOf) -> Response:
    """Get a reader's saved papers as BibTeX."""
    reader = await services.readers.get(reader_id, caller.visible_owner)
    content = await saved_bibtex(services.reader_papers, reader.reader_id)
    return Response(content, media_type=MEDIA_TYPE, headers=ATTACHMENT)


async def saved_bibtex(papers: ReaderPapers, reader_id: UUID) -> str:
    """Return a reader's saved papers as BibTeX, first saved first. Raises `SupabaseError`."""
    saved: list[ReaderPaper] = []
    page = await papers.saved(reader_id, limit=MAX_PAGE)
    while page.next_cursor is not None:
        saved += page.papers
        page = await papers.saved(reader_id, limit=MAX_PAGE, cursor=page.next_cursor)
    entries: list[str] = []
    for entry in bibtex_entries(reversed([*saved, *page.papers])):
        entries.append(entry)
        if len(entries) % MAX_PAGE == 0:
            await asyncio.sleep(0)  # 2,000 papers take a tenth of a second
    return "\n".join(entries)
