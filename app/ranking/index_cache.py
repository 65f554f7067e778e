"""What this process works with, read and indexed once, so that a day's thousands of digests share it."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from app.models import Article, Edition, Item
from app.persistence.editions import Editions
from app.persistence.items import ArrivalDay, Items
from app.ranking.counts import Counts, count
from app.ranking.index import Index

# Almost all digests are of the last day, or of the days since the reader's last one.
_MOST_DAYS: Final = 8
_MOST_WINDOWS: Final = 3

# A reader of whom nothing was heard for two weeks, and the days before them.
_LONGEST_WINDOW: Final = 17

_Day = tuple[date, datetime]
_Name = tuple[str, str]
_Arrived = tuple[Counts, Mapping[_Name, Item]]
_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class EditionIndexCache:
    """Keeps the indexes of the windows of days used last; a day that was fetched again is read again."""

    def __init__(self, daily: Editions) -> None:
        self._daily = daily
        self._days: _Kept[_Day, Counts] = _Kept(_MOST_DAYS)
        self._windows: _Kept[tuple[_Day, ...], Index] = _Kept(_MOST_WINDOWS)

    async def index(self, editions: Sequence[Edition]) -> Index:
        """Return the index of these days; digests that begin together build it once.

        Raises `SupabaseError`, to every caller that waited; the next one tries again.
        """
        days = tuple(sorted((edition.source_date, edition.updated_at) for edition in editions))
        return await self._windows.get(days, partial(self._window, days))

    async def _window(self, days: tuple[_Day, ...]) -> Index:
        return await Index.of([await self._days.get(day, partial(self._count, day)) for day in days], days[-1][0])

    async def _count(self, day: _Day) -> Counts:
        return await count(await self._daily.get_articles(day[0]))


@dataclass(frozen=True, slots=True)
class ArrivalItems:
    """What was first seen in a window of days: its `index`, and the items of its articles."""

    index: Index
    _items: Mapping[_Name, Item]
    _numbers: Mapping[UUID, int]

    def known(self, items: Iterable[UUID]) -> list[int]:
        """The numbers of those of these items that the window has."""
        return [self._numbers[item] for item in items if item in self._numbers]

    def keys(self, articles: Iterable[Article]) -> tuple[str, ...]:
        """All names by which these articles of the window go."""
        return tuple(key for article in articles for key in self._items[_name(article)].keys)


class ItemIndexCache:
    """Keeps the indexes of the windows of arrival days used last; a day that had more or other items is read again."""

    def __init__(self, items: Items) -> None:
        self._items = items
        self._days: _Kept[ArrivalDay, _Arrived] = _Kept(_MOST_DAYS + _LONGEST_WINDOW)
        self._windows: _Kept[tuple[ArrivalDay, ...], ArrivalItems] = _Kept(_MOST_WINDOWS)

    async def arrivals(self, days: Sequence[ArrivalDay]) -> ArrivalItems:
        """Return what came on these days, oldest first, one at least; digests that begin together build it once.

        Raises `SupabaseError`, to every caller that waited; the next one tries again.
        """
        return await self._windows.get(tuple(days), partial(self._window, tuple(days)))

    async def _window(self, days: tuple[ArrivalDay, ...]) -> ArrivalItems:
        found = [await self._days.get(day, partial(self._count, day)) for day in days]
        index = await Index.of([counts for counts, _ in found], days[-1].day)
        named = {name: item for _, by_name in found for name, item in by_name.items()}
        numbers = {named[_name(article)].item_id: number for number, article in enumerate(index.articles)}
        return ArrivalItems(index, named, numbers)

    async def _count(self, day: ArrivalDay) -> _Arrived:
        items = await self._items.first_seen_on(day.day)
        return await count([item.article for item in items]), {_name(item.article): item for item in items}


def _name(article: Article) -> _Name:
    return article.source, article.external_id


class _Kept(Generic[_Key, _Value]):
    """The values used last, each made once; one that failed is made again."""

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
        # A digest that is cancelled must not take it from the others.
        return await asyncio.shield(task)

    def _forget_failure(self, key: _Key, done: "asyncio.Task[_Value]") -> None:
        # Asking for the exception also says that nobody else need be told, should all who waited be gone.
        if (done.cancelled() or done.exception() is not None) and self._made.get(key) is done:
            del self._made[key]
