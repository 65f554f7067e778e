"""Exports of saved papers hold one page of them in memory."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from app.api.saved import saved_bibtex
from app.errors import SupabaseUnavailable
from app.persistence.reader_papers import ReaderPaper, ReaderPapers
from tests.support.rows import ID, PAPER


class ReadPapers(ReaderPapers):
    """Records how many pages of two papers were read; the third one cannot be read."""

    def __init__(self) -> None:
        self.read = 0

    async def saved_pages(self, reader_id: UUID) -> AsyncIterator[tuple[ReaderPaper, ...]]:  # noqa: ARG002  (its names)
        for _ in range(2):
            self.read += 1
            yield tuple(ReaderPaper.model_validate(PAPER | {"paper_id": uuid4()}) for _ in range(2))
        raise SupabaseUnavailable("gone")


async def test_an_export_reads_a_page_when_the_last_one_is_sent() -> None:
    papers = ReadPapers()
    content = await saved_bibtex(papers, UUID(ID))
    for page in (1, 2):
        assert (await anext(content)).count("@") == 2
        assert papers.read == page


async def test_an_export_that_cannot_be_completed_ends_with_an_error() -> None:
    content = await saved_bibtex(ReadPapers(), UUID(ID))
    with pytest.raises(SupabaseUnavailable):
        _ = [text async for text in content]
