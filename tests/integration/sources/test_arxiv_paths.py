"""arXiv's three access paths with a fake arXiv that enforces arXiv's rules."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from app.errors import SourceBusy, SourceError, SourceUnavailable
from app.models.articles import Article
from app.sources.arxiv import ArxivSettings, ArxivSource
from app.sources.arxiv_id import ABSTRACT_PAGE
from app.sources.rate_limiter import RateLimiter
from tests.support.arxiv_papers import EASTERN, Paper
from tests.support.fake_arxiv import FakeArxiv, MovedClock, busy
from tests.support.source_responses import MakeFetcher

Open = Callable[..., Any]
MORNING = datetime(2026, 1, 7, 0, 30, tzinfo=EASTERN)
"""Wednesday: the listing has what was submitted from Monday to Tuesday, 14:00."""

TUESDAY, MONDAY = date(2026, 1, 6), date(2026, 1, 5)


def eastern(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=EASTERN)


def submitted(text: str, number: int, *categories: str, replaced: datetime | None = None) -> Paper:
    return Paper(f"2601.{number:05d}", eastern(text), categories or ("cs.AI",), replaced)


WEEK = [
    submitted("2026-01-05 13:59:59", 1),
    submitted("2026-01-05 14:00:00", 2),
    submitted("2026-01-05 18:30:00", 3, "math.CO", "cs.AI"),
    submitted("2026-01-06 13:59:59", 4, "hep-th"),
    submitted("2026-01-06 14:00:00", 5),
    submitted("2025-12-01 10:00:00", 6, replaced=eastern("2026-01-06 09:00:00")),
    submitted("2026-01-05 20:30:00", 7, "q-bio.NC"),
]


@pytest.fixture
def arxiv(make_fetcher: MakeFetcher) -> Open:
    """Open a fake arXiv, and the adapter for it with the fake's clock."""

    @asynccontextmanager
    async def build(
        papers: list[Paper],
        now: datetime = MORNING,
        *,
        categories: tuple[str, ...] = ("cs.AI", "math", "hep-th"),
        most_listed: int = 2_000,
    ) -> AsyncIterator[tuple[FakeArxiv, ArxivSource]]:
        clock = MovedClock()
        async with FakeArxiv(papers, now, clock=clock).serve() as fake:
            fake.most_listed = most_listed
            settings = ArxivSettings(fake.url, fake.url, fake.url, categories, most_listed=most_listed)
            limiter = RateLimiter(clock=clock, sleep=clock.sleep)
            yield fake, ArxivSource(make_fetcher(), settings, limiter, sleep=clock.sleep, now=lambda: fake.now)
            assert fake.broken_rules == []

    return build


def numbers(articles: list[Article]) -> list[int]:
    return sorted(int(article.external_id.partition(".")[2]) for article in articles)


async def test_yesterday_is_read_from_the_listing_at_once(arxiv: Open) -> None:
    async with arxiv(WEEK) as (fake, source):
        papers = await source.fetch(TUESDAY)
    assert numbers(papers) == [2, 3, 4], "announced on Tuesday evening, new or cross-listed; no replacement"
    assert fake.requests == [("listing", "/rss/cs.AI+math+hep-th")]


async def test_a_day_before_is_read_from_the_query_api(arxiv: Open) -> None:
    async with arxiv(WEEK) as (fake, source):
        papers = await source.fetch(MONDAY)
    assert numbers(papers) == [1, 2, 3], "submitted on Monday, in UTC"
    assert fake.paths == ["api"]


@pytest.mark.parametrize("failure", [busy(), busy(3600), busy(status=503), busy(status=500), busy(status=403)])
async def test_oai_pmh_has_the_papers_of_the_query_api(arxiv: Open, failure: Any) -> None:
    async with arxiv(WEEK) as (fake, source):
        by_api = await source.fetch(MONDAY)
        fake.failures["api"] = failure
        by_oai = await source.fetch(MONDAY)
    assert sorted(by_oai, key=lambda paper: paper.external_id) == [
        paper.model_copy(update={"url": f"{ABSTRACT_PAGE}{paper.external_id}"}) for paper in by_api
    ]
    assert fake.paths[-3:] == ["oai"] * 3, "one list for each category"


async def test_a_replaced_paper_keeps_its_day(arxiv: Open) -> None:
    late = submitted("2026-01-05 10:00:00", 8, replaced=eastern("2026-01-06 10:00:00"))
    async with arxiv([late]) as (fake, source):
        fake.failures["api"] = busy()
        assert numbers(await source.fetch(MONDAY)) == [8], "its datestamp is of a later day: `until` would exclude it"
        assert "until" not in str(fake.requests)


@pytest.mark.parametrize("now", ["2026-01-10 00:30:00", "2026-01-11 00:30:00", "2026-01-11 23:30:00"])
async def test_no_listing_is_read_at_the_weekend(arxiv: Open, now: str) -> None:
    thursday = submitted("2026-01-08 10:00:00", 1)
    async with arxiv([thursday], eastern(now)) as (fake, source):
        yesterday = fake.now.date() - timedelta(days=1)
        assert await source.fetch(yesterday) == []
        assert numbers(await source.fetch(date(2026, 1, 8))) == [1]
    assert fake.paths == ["api", "api"]


async def test_mondays_listing_has_what_was_announced_on_sunday(arxiv: Open) -> None:
    papers = [
        submitted("2026-01-08 14:00:00", 1),
        submitted("2026-01-09 13:59:59", 2),
        submitted("2026-01-09 14:00", 3),
    ]
    async with arxiv(papers, eastern("2026-01-12 00:30:00")) as (fake, source):
        assert numbers(await source.fetch(date(2026, 1, 11))) == [1, 2]
        fake.now = eastern("2026-01-13 00:30:00")
        assert numbers(await source.fetch(date(2026, 1, 12))) == [3]


async def test_a_holiday_is_read_from_the_query_api(arxiv: Open) -> None:
    async with arxiv(WEEK) as (fake, source):
        fake.holidays.add(date(2026, 1, 7))
        assert numbers(await source.fetch(TUESDAY)) == [4]
    assert fake.paths == ["listing", "api"]


async def test_a_listing_of_another_day_is_not_used(arxiv: Open) -> None:
    """arXiv's caches may still have yesterday's listing shortly after midnight."""
    async with arxiv(WEEK) as (fake, source):
        fake.cached_listing = TUESDAY
        assert numbers(await source.fetch(TUESDAY)) == [4]
    assert fake.paths == ["listing", "api"]


async def test_a_longer_listing_is_split_by_category(arxiv: Open) -> None:
    replaced = [submitted("2025-12-01 10:00:00", 100 + n, replaced=eastern("2026-01-06 09:00")) for n in range(30)]
    new = [submitted("2026-01-06 10:00:00", n, *("math.CO", "cs.AI")[n % 2 :][:1]) for n in range(1, 30)]
    async with arxiv([*replaced, *new], categories=("cs", "math.CO", "stat.ML"), most_listed=46) as (fake, source):
        assert numbers(await source.fetch(TUESDAY)) == list(range(1, 30))
        assert set(fake.paths) == {"listing"}
        assert fake.requests[:3] == [
            ("listing", "/rss/cs+math.CO+stat.ML"), ("listing", "/rss/cs"), ("listing", "/rss/math.CO+stat.ML"),
        ]  # fmt: skip


async def test_a_category_with_too_many_papers_is_read_elsewhere(arxiv: Open) -> None:
    new = [submitted("2026-01-06 10:00:00", n) for n in range(1, 30)]
    async with arxiv(new, categories=("cs.AI",), most_listed=20) as (fake, source):
        assert numbers(await source.fetch(TUESDAY)) == list(range(1, 30))
    assert fake.paths == ["listing", "api"]


async def test_a_long_oai_list_is_read_with_tokens(arxiv: Open) -> None:
    papers = [submitted("2026-01-05 10:00:00", n) for n in range(1, 26)]
    async with arxiv(papers, categories=("cs.AI",)) as (fake, source):
        fake.failures["api"], fake.records_per_page = busy(), 10
        assert numbers(await source.fetch(MONDAY)) == list(range(1, 26))
    assert fake.paths == ["api", "oai", "oai", "oai"]


async def test_an_expired_token_begins_the_list_again(arxiv: Open) -> None:
    papers = [submitted("2026-01-05 10:00:00", n) for n in range(1, 26)]
    midnight = datetime(2026, 1, 7, tzinfo=UTC)
    async with arxiv(papers, midnight - timedelta(seconds=1), categories=("cs.AI",)) as (fake, source):
        fake.failures |= dict.fromkeys(("listing", "api"), busy())
        fake.records_per_page = 10

        def midnight_comes() -> None:
            fake.now = midnight if fake.paths.count("oai") == 2 else fake.now

        fake.after_oai_page = midnight_comes
        assert numbers(await source.fetch(MONDAY)) == list(range(1, 26))
    assert fake.paths == ["listing", "api", *["oai"] * 6], "two pages, one refusal, three pages"


async def test_a_busy_host_does_not_stop_the_others(arxiv: Open) -> None:
    async with arxiv(WEEK) as (fake, source):
        fake.failures["api"] = busy(3600)
        for _ in range(3):
            assert numbers(await source.fetch(MONDAY)) == [1, 2, 3]
    assert fake.paths.count("api") == 1, "its pause is respected"


async def test_a_broken_path_is_not_tried_by_each_fetch(arxiv: Open) -> None:
    async with arxiv(WEEK) as (fake, source):
        fake.failures["api"] = busy(status=500)
        for _ in range(3):
            assert numbers(await source.fetch(MONDAY)) == [1, 2, 3]
    assert fake.paths.count("api") == 3, "three attempts of the first fetch"


async def test_fetches_of_several_days_keep_the_rules(arxiv: Open) -> None:
    async with arxiv(WEEK) as (fake, source):
        days = [TUESDAY - timedelta(days=n) for n in range(4)]
        found = await asyncio.gather(*(source.fetch(day) for day in days))
        assert [numbers(papers) for papers in found] == [[2, 3, 4], [1, 2, 3], [], []]
    assert len(fake.requests) == 4


async def test_all_paths_busy_is_busy_for_the_shortest_time(arxiv: Open) -> None:
    async with arxiv(WEEK) as (fake, source):
        fake.failures |= {"api": busy(3600), "oai": busy(600, status=503), "listing": busy(900)}
        with pytest.raises(SourceBusy, match=r"429 .*; .*503 ") as error:
            await source.fetch(TUESDAY)
    assert error.value.retry_after == 600
    assert fake.paths == ["listing", "api", "oai"]


async def test_unreachable_paths_are_unavailable(arxiv: Open) -> None:
    async with arxiv(WEEK) as (fake, source):
        fake.failures |= dict.fromkeys(("api", "oai"), busy(status=500))
        with pytest.raises(SourceUnavailable, match="500 Internal Server Error"):
            await source.fetch(MONDAY)
        fake.failures |= dict.fromkeys(("api", "oai"), busy(status=404))
        with pytest.raises(SourceError, match="404 Not Found"):
            await source.fetch(MONDAY)


async def test_a_day_long_ago_is_not_read_by_oai_pmh(arxiv: Open) -> None:
    async with arxiv(WEEK) as (fake, source):
        fake.failures["api"] = busy(3600)
        with pytest.raises(SourceBusy, match=r"429 .*; OAI-PMH is not used for days more than 30 days ago"):
            await source.fetch(date(2025, 12, 7))
    assert fake.paths == ["api"]
