"""The index cache reads an edition once per process, and again after a refetch or a failure."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import cast
from uuid import UUID

import pytest

from app.errors import SupabaseUnavailable
from app.models.articles import Article, ArticleKind, Edition, EditionStatus, Item
from app.persistence.editions import Editions
from app.persistence.items import ArrivalDay, Items
from app.ranking.index_cache import EditionIndexCache, ItemIndexCache

DAY = date(2026, 11, 22)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class CountingEditions:
    def __init__(self, *, failures: int = 0) -> None:
        self.reads: list[date] = []
        self._failures = failures

    async def get_articles(self, source_date: date) -> list[Article]:
        self.reads.append(source_date)
        await asyncio.sleep(0)
        if len(self.reads) <= self._failures:
            raise SupabaseUnavailable("not now")
        return []


def edition(day: date = DAY, updated_at: datetime = NOON) -> Edition:
    return Edition(
        source_date=day, status=EditionStatus.COMPLETED, counts={}, errors={}, created_at=NOON, updated_at=updated_at
    )


def cache_over(daily: CountingEditions) -> EditionIndexCache:
    return EditionIndexCache(cast(Editions, daily))


async def test_concurrent_digests_read_an_edition_once() -> None:
    daily = CountingEditions()
    cache = cache_over(daily)
    await asyncio.gather(*(cache.index([edition()]) for _ in range(10)))
    await cache.index([edition()])
    assert daily.reads == [DAY]


async def test_a_refetched_edition_is_read_again() -> None:
    daily = CountingEditions()
    cache = cache_over(daily)
    await cache.index([edition()])
    await cache.index([edition(updated_at=NOON + timedelta(hours=1))])
    assert daily.reads == [DAY, DAY]


async def test_the_most_recently_used_days_are_kept() -> None:
    daily = CountingEditions()
    cache = cache_over(daily)
    for days_ago in (*range(8), 0, 8, 0, 1):
        await cache.index([edition(DAY - timedelta(days=days_ago))])
    assert [(DAY - day).days for day in daily.reads] == [*range(9), 1], "the ninth day replaced the second"


async def test_a_window_of_days_reads_each_of_them_once() -> None:
    daily = CountingEditions()
    cache = cache_over(daily)
    days = [edition(DAY - timedelta(days=days_ago)) for days_ago in range(3)]
    index, same = await cache.index(days), await cache.index(days[::-1])
    await cache.index(days[:2])
    assert index is same
    assert len(index.days) == 3
    assert sorted(daily.reads) == [day.source_date for day in days[::-1]]


async def test_a_failure_reaches_all_waiters_and_is_not_cached() -> None:
    daily = CountingEditions(failures=1)
    cache = cache_over(daily)
    failed = await asyncio.gather(*(cache.index([edition()]) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in failed] == [SupabaseUnavailable] * 3
    assert (await cache.index([edition()])).articles == ()


async def test_a_cancelled_digest_does_not_cancel_the_shared_read() -> None:
    daily = CountingEditions()
    cache = cache_over(daily)
    first, second = (asyncio.create_task(cache.index([edition()])) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).articles == ()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert daily.reads == [DAY]


class CountingItems:
    def __init__(self) -> None:
        self.reads: list[date] = []

    async def first_seen_on(self, day: date) -> list[Item]:
        self.reads.append(day)
        await asyncio.sleep(0)
        article = Article(source="arxiv", external_id=str(day), kind=ArticleKind.PAPER, title=f"Of {day}")
        return [Item(item_id=UUID(int=day.day), first_seen=NOON, keys=(f"arxiv:{day}", "title:x"), article=article)]


async def test_concurrent_digests_read_each_changed_day_once() -> None:
    items = CountingItems()
    cache = ItemIndexCache(cast(Items, items))
    days = [ArrivalDay(day=DAY + timedelta(days=n), items=1, changed_at=NOON) for n in range(3)]
    found = (await asyncio.gather(*(cache.arrivals(days) for _ in range(10))))[0]
    assert items.reads == [day.day for day in days]
    await cache.arrivals([*days[:2], days[2].model_copy(update={"changed_at": NOON + timedelta(seconds=1)})])
    assert items.reads[3:] == [days[2].day]
    for day in days:
        (number,) = found.known([UUID(int=day.day.day), UUID(int=0)])
        assert found.keys([found.index.articles[number]]) == (f"arxiv:{day.day}", "title:x")
