"""The files of a reader's download, written piece by piece: everything as JSON, and the papers as BibTeX."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from app.api.saved import written
from app.digest.bibtex import bibtex_entries
from app.persistence.own_data import SECTIONS, OwnData
from app.persistence.reader_papers import ReaderPaper
from app.time_slice import TimeSlice


async def data_file(own_data: OwnData, reader_id: UUID) -> AsyncIterator[str]:
    """Return everything about a reader as a JSON object with a list for each of `SECTIONS`. Raises `SupabaseError`."""
    # Read before the response starts, so that an error can still become a page.
    first = await own_data.rows(reader_id, SECTIONS[0])
    return _data_file(own_data, reader_id, first)


async def _data_file(own_data: OwnData, reader_id: UUID, first: Sequence[dict[str, Any]]) -> AsyncIterator[str]:
    time_slice = TimeSlice()
    yield "{\n" + f'"{SECTIONS[0]}": [' + ",\n".join(map(_json, first))
    for section in SECTIONS[1:]:
        yield f'],\n"{section}": ['
        separator = ""
        async for page in own_data.pages(reader_id, section):
            for row in page:
                yield separator + _json(row)
                separator = ",\n"
                await time_slice.checkpoint()
    yield "]\n}\n"


async def papers_file(own_data: OwnData, reader_id: UUID) -> AsyncIterator[str]:
    """Return all papers of a reader as BibTeX, a page at a time. Raises `SupabaseError`."""
    pages = _papers(own_data, reader_id)
    first = await anext(pages, None)
    return written(first, pages, bibtex_entries)


async def _papers(own_data: OwnData, reader_id: UUID) -> AsyncIterator[tuple[ReaderPaper, ...]]:
    async for page in own_data.pages(reader_id, "papers"):
        yield tuple(ReaderPaper.model_validate(row) for row in page)


def _json(row: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in row.items() if name != "id"}, ensure_ascii=False)
