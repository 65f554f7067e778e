"""bioRxiv and medRxiv: pages of any size, wrong totals, versions, withdrawals, categories, failures."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, date, datetime

import pytest
from aiohttp import web

from app.errors import SourceBusy, SourceError
from app.models.articles import Article, ArticleKind
from app.sources.biorxiv import BiorxivSettings, BiorxivSource
from app.sources.rate_limiter import RateLimiter
from tests.support.fake_arxiv import MovedClock
from tests.support.fake_biorxiv import FakeBiorxiv, Posted
from tests.support.fixture_types import Serve
from tests.support.source_responses import MakeFetcher, reply

DAY = date(2026, 1, 6)
MANY = [Posted(number) for number in range(1, 251)]
Open = Callable[..., AbstractAsyncContextManager[tuple[FakeBiorxiv, BiorxivSource]]]


@pytest.fixture
def biorxiv(make_fetcher: MakeFetcher) -> Open:
    @asynccontextmanager
    async def build(
        fake: FakeBiorxiv, server: str = "biorxiv", categories: frozenset[str] = frozenset()
    ) -> AsyncIterator[tuple[FakeBiorxiv, BiorxivSource]]:
        clock = MovedClock()
        async with fake.serve():
            limiter = RateLimiter(1.0, name="biorxiv", clock=clock, sleep=clock.sleep)
            settings = BiorxivSettings(server, categories, fake.url)
            yield fake, BiorxivSource(make_fetcher(), settings, limiter, sleep=clock.sleep)

    return build


def numbers(papers: list[Article]) -> list[int]:
    return [int(paper.external_id[-6:]) for paper in papers]


@pytest.mark.parametrize("surplus", [0, 1, 29, 31, 99], ids="{} too many".format)
@pytest.mark.parametrize("page_size", [30, 100])
async def test_each_preprint_is_read_once(biorxiv: Open, page_size: int, surplus: int) -> None:
    async with biorxiv(FakeBiorxiv(MANY, page_size=page_size, surplus=surplus)) as (fake, source):
        assert numbers(await source.fetch(DAY)) == list(range(1, 251))
    pages = -(-250 // page_size)
    assert len(fake.paths) in {pages, pages + 1}, "at most one empty page"


async def test_a_preprint_has_its_names_links_and_text(biorxiv: Open) -> None:
    async with biorxiv(FakeBiorxiv([Posted(7, prefix="10.1101")]), "medrxiv") as (fake, source):
        (paper,) = await source.fetch(DAY)
    assert fake.paths == ["/details/medrxiv/2026-01-06/2026-01-06/0/json"]
    assert paper == Article(
        source="medrxiv",
        external_id="10.1101/2026.01.06.000007",
        kind=ArticleKind.PAPER,
        title="Preprint 7, version 1",
        abstract="The abstract of version 1, with p<q.",
        authors=("B. Second", "A. C. van der First"),
        url="https://www.medrxiv.org/content/10.1101/2026.01.06.000007v1",
        pdf_url="https://www.medrxiv.org/content/10.1101/2026.01.06.000007v1.full.pdf",
        categories=("cell biology",),
        published_at=datetime(2026, 1, 6, tzinfo=UTC),
        doi="10.1101/2026.01.06.000007",
    )


async def test_only_a_first_version_is_new(biorxiv: Open) -> None:
    posted = [Posted(1, 2), Posted(2), Posted(2, 2), Posted(3, 5), Posted(4), Posted(4)]
    async with biorxiv(FakeBiorxiv(posted)) as (_, source):
        papers = await source.fetch(DAY)
    assert numbers(papers) == [2, 4]
    assert papers[0].title == "Preprint 2, version 2", "with the text of its newest version"


async def test_a_withdrawn_preprint_is_not_new(biorxiv: Open) -> None:
    posted = [
        Posted(1), Posted(1, 2, type="withdrawn"), Posted(2, type="Withdrawn"), Posted(3, title="WITHDRAWN: Cells"),
        Posted(4, 3, type="withdrawn"), Posted(5),
    ]  # fmt: skip
    async with biorxiv(FakeBiorxiv(posted)) as (_, source):
        assert numbers(await source.fetch(DAY)) == [5]


async def test_only_wanted_categories_are_kept(biorxiv: Open) -> None:
    posted = [
        Posted(1), Posted(2, category="cell biology"), Posted(3, category="cell_biology"),
        Posted(4, category="ecology"),
    ]  # fmt: skip
    async with biorxiv(FakeBiorxiv(posted), categories=frozenset({"cell biology"})) as (_, source):
        assert numbers(await source.fetch(DAY)) == [1, 2, 3]


async def test_a_day_without_preprints_is_empty(biorxiv: Open) -> None:
    async with biorxiv(FakeBiorxiv(MANY)) as (_, source):
        assert await source.fetch(date(2026, 1, 4)) == []


async def test_a_list_that_breaks_off_is_read_again(biorxiv: Open) -> None:
    nothing = web.json_response({"messages": [{"status": "ok", "total": 250}], "collection": []})
    async with biorxiv(FakeBiorxiv(MANY)) as (fake, source):
        fake.failures += [nothing, web.Response(status=500), web.Response(status=429, headers={"Retry-After": "7"})]
        with pytest.raises(SourceBusy):
            await source.fetch(DAY)
        assert numbers(await source.fetch(DAY)) == list(range(1, 251))


async def test_an_entry_without_a_doi_shifts_no_page(biorxiv: Open) -> None:
    posted = [Posted(number, prefix="none" if number == 3 else "10.64898") for number in range(1, 61)]
    async with biorxiv(FakeBiorxiv(posted, page_size=30)) as (fake, source):
        assert len(await source.fetch(DAY)) == 59
    assert [path.split("/")[-2] for path in fake.paths] == ["0", "30"]


async def test_a_long_retry_after_of_biorxiv_is_respected(biorxiv: Open) -> None:
    async with biorxiv(FakeBiorxiv(MANY)) as (fake, source):
        fake.failures = [web.Response(status=503, headers={"Retry-After": "600"})]
        for _ in range(2):
            with pytest.raises(SourceBusy) as busy:
                await source.fetch(DAY)
            assert busy.value.retry_after == pytest.approx(600)
    assert len(fake.paths) == 1, "the second one asks only when the pause is over"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>down</html>", "biorxiv's response does not have the documented form"),
        (b'{"collection": {}}', "does not have the documented form: .'collection'"),
        (b'{"collection": [{"title": "x"}]}', "does not have the documented form: .'doi'"),
        (
            b'{"messages": [{"total": 900}], "collection": []}',
            "reported 900 preprints, but its page from 0 on is empty",
        ),
    ],
)
async def test_a_wrong_response_is_a_source_error(
    serve: Serve, make_fetcher: MakeFetcher, body: bytes, reason: str
) -> None:
    server = await serve(reply(body, kind="application/json"))
    settings = BiorxivSettings(base_url=server.url, attempts=1)
    with pytest.raises(SourceError, match=reason):
        await BiorxivSource(make_fetcher(), settings, RateLimiter(0.0)).fetch(DAY)
