"""A caller's large request or response lets other tasks of the event loop run in between."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID, uuid4

import pytest

from app.api.papers import with_known_abstracts
from app.api.saved import saved_bibtex, saved_ris
from app.models import Article, ArticleKind
from app.persistence.items import Items
from app.persistence.reader_papers import MAX_PAGE, PaperPage, ReaderPaper, ReaderPapers
from tests.support.libraries import STEP
from tests.support.loop_blocking import longest_hold
from tests.support.rows import ID, PAPER

T = TypeVar("T")
PAGES, SENT = 3, 20


class FullPapers(ReaderPapers):
    """Returns full pages of papers without waiting."""

    def __init__(self) -> None:
        self._pages = 0

    async def saved(self, reader_id: UUID, *, limit: int = MAX_PAGE, cursor: str | None = None) -> PaperPage:  # noqa: ARG002  (its names)
        self._pages += 1
        values = PAPER | {"title": "Radar", "abstract": r"$\alpha^{2}$ " * 460}
        papers = tuple(ReaderPaper.model_validate(values | {"paper_id": uuid4()}) for _ in range(limit))
        return PaperPage(papers=papers, next_cursor="next" if self._pages < PAGES else None)


class NoItems(Items):
    """Not used by these tests."""

    def __init__(self) -> None:
        pass


async def loop_turns_during(work: Awaitable[T]) -> tuple[T, int]:
    """The result of work that waits for nothing, and how many loop iterations other tasks had meanwhile."""
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


@pytest.mark.parametrize("export", [saved_bibtex, saved_ris])
async def test_a_long_file_of_saved_papers_does_not_hold_the_loop(export: Callable[..., Awaitable[str]]) -> None:
    content, hold = await longest_hold(lambda: export(FullPapers(), UUID(ID)), STEP)
    assert isinstance(content, str)
    assert content.count("Radar") == PAGES * MAX_PAGE
    assert hold < STEP


async def test_a_large_upload_of_papers_does_not_hold_the_loop() -> None:
    article = Article(source="manual", external_id="", kind=ArticleKind.PAPER, title="Of storms", abstract="They blow.")
    papers, turns = await loop_turns_during(with_known_abstracts([(article, None)] * SENT, NoItems()))
    assert (len(papers), turns) == (SENT, SENT)
