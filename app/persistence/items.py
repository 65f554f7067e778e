"""Items: papers and news, each once, by the day on which it was first seen; and which of them are new to a reader."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from app.models.articles import Article, Item
from app.models.profiles import RatedPaper
from app.models.values import Frozen
from app.persistence.paging import read_all
from app.persistence.repository import Repository

READ_PAGE: Final = 500
KEYS_PER_CALL: Final = 100

LONGEST_WAIT_FOR_FETCH: Final = timedelta(minutes=10)
"""How long after its first attempt a scheduled digest waits for a running fetch. Then it uses the stored items."""


class ArrivalDay(Frozen):
    """A day (UTC): how many items were first seen on it, and when one of them last changed."""

    day: date
    items: int
    changed_at: datetime


class MissingSource(Frozen):
    """A source that could not be read, for which days, and the last reason."""

    source: str
    days: tuple[date, ...]
    reason: str


class NewItems(Frozen):
    """The input of a scheduled digest: all items first seen on `days`, without those in `shown`.

    `fetching` is a fetch of these days that runs, or will within two minutes. `papers` are those that the reader rated,
    newest first. `last_digest` is the time of the last digest whose mail was sent; None: there was none. `unread`: the
    digest should still wait for a source of its day; `any_read`: one has been read. `day_left`: the time until the
    reader's day ends.
    """

    last_digest: datetime | None
    since: datetime
    days: tuple[ArrivalDay, ...]
    shown: frozenset[UUID]
    missing: tuple[MissingSource, ...]
    fetching: UUID | None
    papers: tuple[RatedPaper, ...]
    unread: bool
    any_read: bool = False
    day_left: timedelta


class _KeyedArticle(Frozen):
    key: str
    article: Article


class Items(Repository):
    """Reads items by the day on which they were first seen, and by their keys."""

    async def new_items_for(
        self, reader_id: UUID, source_date: date | None = None, local_day: date | None = None
    ) -> NewItems:
        """Return what is new to a reader since the last digest, the reader's rated papers, and the missing sources.

        The period starts two days before the last digest, because writes may commit late, and has at most 16 days; a
        first digest covers a week. Raises `SupabaseError`.
        """
        action = f"read the new items for reader {reader_id}"
        return await self._call(
            "items_for_schedule", action, NewItems, p_reader=reader_id, p_source_date=source_date, p_local_day=local_day
        )

    async def first_seen_on(self, day: date) -> list[Item]:
        """Read all items first seen on a day (UTC), oldest first, page by page. Raises `SupabaseError`."""

        async def read(found: Sequence[Item]) -> list[Item]:
            return await self._call(
                "items_of_day",
                f"read the items first seen on {day}",
                list[Item],
                p_day=day,
                p_after=found[-1].first_seen if found else None,
                p_after_id=found[-1].item_id if found else None,
                p_limit=READ_PAGE,
            )

        return await read_all(read)

    async def find_by_keys(self, keys: Sequence[str]) -> dict[str, Article]:
        """Return the items with these keys, by key, each as its most complete copy. Raises `SupabaseError`."""
        found: dict[str, Article] = {}
        for start in range(0, len(keys), KEYS_PER_CALL):
            batch = list(keys[start : start + KEYS_PER_CALL])
            action = f"find the items of {len(batch)} keys"
            keyed = await self._call("items_with_keys", action, list[_KeyedArticle], p_keys=batch)
            found |= {each.key: each.article for each in keyed}
        return found
