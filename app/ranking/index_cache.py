"""Caches the indexes of days in the process, so that thousands of digests share one index."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from app.models.articles import Article, Edition, Item
from app.persistence.editions import Editions
from app.persistence.items import ArrivalDay, Items
from app.ranking.counts import Counts, count
from app.ranking.index import Index

# Almost all digests cover the last day, or the days since the reader's last digest.
_MOST_DAYS: Final = 8
_MOST_WINDOWS: Final = 3

# Enough for a reader who was away for two weeks, and the days before.
_LONGEST_WINDOW: Final = 17

_Day = tuple[date, datetime]
_Name = tuple[str, str]
_Arrived = tuple[Counts, Mapping[_Name, Item]]
_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class EditionIndexCache:
    """Caches the indexes of the most recently used windows of days. A day that was fetched again is read again."""

    def __init__(self, daily: Editions) -> None:
        self._daily = daily
        self._days: _LruCache[_Day, Counts] = _LruCache(_MOST_DAYS)
        self._windows: _LruCache[tuple[_Day, ...], Index] = _LruCache(_MOST_WINDOWS)

    async def index(self, editions: Sequence[Edition]) -> Index:
        """Return the index of these days. Concurrent callers build it once.

        Raises `SupabaseError` to every caller that waits; the next call tries again.
        """
        days = tuple(sorted((edition.source_date, edition.updated_at) for edition in editions))
        return await self._windows.get(days, partial(self._window, days))

    async def _window(self, days: tuple[_Day, ...]) -> Index:
        return await Index.of([await self._days.get(day, partial(self._count, day)) for day in days], days[-1][0])

    async def _count(self, day: _Day) -> Counts:
        return await count(await self._daily.get_articles(day[0]))


@dataclass(frozen=True, slots=True)
class ArrivalItems:
    """The items first seen in a window of days: the `index` of their articles, and the items themselves."""

    index: Index
    _items: Mapping[_Name, Item]
    _numbers: Mapping[UUID, int]

    def known(self, items: Iterable[UUID]) -> list[int]:
        """Return the article numbers of these items, without those that the window does not have."""
        return [self._numbers[item] for item in items if item in self._numbers]

    def keys(self, articles: Iterable[Article]) -> tuple[str, ...]:
        """Return all keys of these articles of the window."""
        return tuple(key for article in articles for key in self._items[_name(article)].keys)


class ItemIndexCache:
    """Caches the indexes of the most recently used windows of arrival days. A day whose items changed is read again."""

    def __init__(self, items: Items) -> None:
        self._items = items
        self._days: _LruCache[ArrivalDay, _Arrived] = _LruCache(_MOST_DAYS + _LONGEST_WINDOW)
        self._windows: _LruCache[tuple[ArrivalDay, ...], ArrivalItems] = _LruCache(_MOST_WINDOWS)

    async def arrivals(self, days: Sequence[ArrivalDay]) -> ArrivalItems:
        """Return the items first seen on these days, oldest first. Concurrent callers build it once.

        Raises `SupabaseError` to every caller that waits; the next call tries again.
        """
        return await self._windows.get(tuple(days), partial(self._window, tuple(days)))

    async def _window(self, days: tuple[ArrivalDay, ...]) -> ArrivalItems:
        found = [await self._days.get(day, partial(self._count, day)) for day in days]
        counted = [counts for counts, _ in found] or [await count([])]
        index = await Index.of(counted, days[-1].day if days else date.min)
        named = {name: item for _, by_name in found for name, item in by_name.items()}
        numbers = {named[_name(article)].item_id: number for number, article in enumerate(index.articles)}
        return ArrivalItems(index, named, numbers)

    async def _count(self, day: ArrivalDay) -> _Arrived:
        items = await self._items.first_seen_on(day.day)
        return await count([item.article for item in items]), {_name(item.article): item for item in items}


def _name(article: Article) -> _Name:
    return article.source, article.external_id


class _LruCache(Generic[_Key, _Value]):
    """A cache of the most recently used values, each computed once; a failed computation is repeated."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[_Key, asyncio.Task[_Value]] = OrderedDict()

    async def get(self, key: _Key, make: Callable[[], Coroutine[Any, Any, _Value]]) -> _Value:
        task = self._made.get(key)
        if task is None:
            task = self._made[key] = asyncio.create_task(make())
            task.add_done_callback(lambda done: self._forget_failure(key, done))
        self._made.move_to_end(key)
        while len(self._made) > self._most:
            self._made.popitem(last=False)
        # The cancellation of one caller must not cancel it for the others.
        return await asyncio.shield(task)

    def _forget_failure(self, key: _Key, done: "asyncio.Task[_Value]") -> None:
        # Reading the exception also prevents asyncio's warning if all callers were cancelled.
        if (done.cancelled() or done.exception() is not None) and self._made.get(key) is done:
            del self._made[key]
