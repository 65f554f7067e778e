"""A caller's large request or response lets other tasks of the event loop run in between."""

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import pytest

from app.api.saved import saved_bibtex, saved_ris
from app.models.articles import Article, ArticleKind
from app.persistence.items import Items
from app.persistence.paging import MAX_PAGE
from app.persistence.reader_papers import ReaderPaper, ReaderPapers
from app.ranking.known_papers import with_known_abstracts
from tests.support.libraries import STEP
from tests.support.loop_blocking import longest_hold
from tests.support.rows import ID, PAPER

PAGES, SENT = 3, 2_000


class FullPapers(ReaderPapers):
    """Returns pages of papers without waiting. They are made before, because the limit does not concern that."""

    def __init__(self) -> None:
        values = PAPER | {"title": "Radar", "abstract": r"$\alpha^{2}$ " * 460}
        papers = [ReaderPaper.model_validate(values | {"paper_id": uuid4()}) for _ in range(MAX_PAGE)]
        self._papers = tuple(papers)

    async def saved_pages(self, reader_id: UUID) -> AsyncIterator[tuple[ReaderPaper, ...]]:  # noqa: ARG002  (its names)
        for _ in range(PAGES):
            yield self._papers


class NoItems(Items):
    """Not used by these tests."""

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize("export", [saved_bibtex, saved_ris])
async def test_a_long_file_of_saved_papers_does_not_hold_the_loop(
    export: Callable[..., Awaitable[AsyncIterator[str]]],
) -> None:
    papers = FullPapers()

    async def written() -> str:
        return "".join([text async for text in await export(papers, UUID(ID))])

    content, hold = await longest_hold(written, STEP)
    assert isinstance(content, str)
    assert content.count("Radar") == PAGES * MAX_PAGE
    assert hold < STEP


async def test_a_large_upload_of_papers_does_not_hold_the_loop() -> None:
    article = Article(source="manual", external_id="", kind=ArticleKind.PAPER, title="Of storms", abstract="They blow.")
    papers, hold = await longest_hold(lambda: with_known_abstracts([(article, None)] * SENT, NoItems()), STEP)
    assert isinstance(papers, list)
    assert len(papers) == SENT
    assert hold < STEP
