"""However much a caller sends or reads, others have their turns meanwhile."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar
from uuid import UUID, uuid4

from app.api.papers import with_known_abstracts
from app.api.saved import saved_bibtex
from app.models import Article, ArticleKind
from app.persistence.items import Items
from app.persistence.reader_papers import MAX_PAGE, PaperPage, ReaderPaper, ReaderPapers
from tests.integration.api.rows import ID, PAPER

T = TypeVar("T")
PAGES, SENT = 3, 20


class FullPapers(ReaderPapers):
    """So many full pages of papers, answered without a wait."""

    def __init__(self) -> None:
        self._pages = 0

    async def saved(self, reader_id: UUID, *, limit: int = MAX_PAGE, cursor: str | None = None) -> PaperPage:  # noqa: ARG002  (its names)
        self._pages += 1
        papers = tuple(ReaderPaper.model_validate(PAPER | {"paper_id": uuid4()}) for _ in range(limit))
        return PaperPage(papers=papers, next_cursor="next" if self._pages < PAGES else None)


class NoItems(Items):
    """Nobody asks for them."""

    def __init__(self) -> None:
        pass


async def turns_beside(work: Awaitable[T]) -> tuple[T, int]:
    """What comes of work that waits for nothing, and how many turns it left to others."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    result = await work
    beside.cancel()
    return result, turns


async def test_a_long_file_of_what_was_saved() -> None:
    content, turns = await turns_beside(saved_bibtex(FullPapers(), UUID(ID)))
    assert content.count("title = {") == PAGES * MAX_PAGE
    assert turns == PAGES


async def test_many_papers_that_are_sent() -> None:
    article = Article(source="manual", external_id="", kind=ArticleKind.PAPER, title="Of storms", abstract="They blow.")
    papers, turns = await turns_beside(with_known_abstracts([article] * SENT, NoItems()))
    assert (len(papers), turns) == (SENT, SENT)
