"""The file of what a reader saved, however much that is."""

import asyncio
from uuid import UUID, uuid4

from app.api.saved import saved_bibtex
from app.persistence.reader_papers import MAX_PAGE, PaperPage, ReaderPaper, ReaderPapers
from tests.integration.api.rows import ID, PAPER

PAGES = 3


class FullPapers(ReaderPapers):
    """So many full pages of papers, answered without a wait."""

    def __init__(self) -> None:
        self._pages = 0

    async def saved(self, reader_id: UUID, *, limit: int = MAX_PAGE, cursor: str | None = None) -> PaperPage:  # noqa: ARG002  (its names)
        self._pages += 1
        papers = tuple(ReaderPaper.model_validate(PAPER | {"paper_id": uuid4()}) for _ in range(limit))
        return PaperPage(papers=papers, next_cursor="next" if self._pages < PAGES else None)


async def test_others_have_their_turns_while_a_long_file_is_written() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    content = await saved_bibtex(FullPapers(), UUID(ID))
    beside.cancel()
    assert content.count("@") >= PAGES * MAX_PAGE
    assert turns >= PAGES
