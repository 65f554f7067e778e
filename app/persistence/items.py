"""Items: papers and news, each once, by the day on which it was first seen; and which of them are new to a reader."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter
from supabase import AsyncClient

from app.models import Article, Frozen, Item, RatedPaper
from app.persistence.errors import VOID, parsed, supabase_errors
from app.persistence.paging import read_all

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


_NEW_ITEMS = TypeAdapter(NewItems)
_KEYED_ARTICLES = TypeAdapter(list[_KeyedArticle])
_ITEMS = TypeAdapter(list[Item])


class Items:
    """Reads items by the day on which they were first seen, and records which of them a reader was shown."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def new_items_for(
        self, reader_id: UUID, source_date: date | None = None, local_day: date | None = None
    ) -> NewItems:
        """Return what is new to a reader since the last digest, the reader's rated papers, and the missing sources.

        The period starts two days before the last digest, because writes may commit late, and has at most 16 days; a
        first digest covers a week. Raises `SupabaseError`.
        """
        with supabase_errors(f"read the new items for reader {reader_id}"):
            parameters = {
                "p_reader": str(reader_id),
                "p_source_date": source_date.isoformat() if source_date else None,
                "p_local_day": local_day.isoformat() if local_day else None,
            }
            response = await self._client.rpc("items_for_schedule", parameters).execute()
        return parsed(_NEW_ITEMS, response.data)

    async def first_seen_on(self, day: date) -> list[Item]:
        """Read all items first seen on a day (UTC), oldest first, page by page. Raises `SupabaseError`."""

        async def read(found: Sequence[Item]) -> list[Item]:
            parameters = {
                "p_day": day.isoformat(),
                "p_after": found[-1].first_seen.isoformat() if found else None,
                "p_after_id": str(found[-1].item_id) if found else None,
                "p_limit": READ_PAGE,
            }
            with supabase_errors(f"read the items first seen on {day}"):
                response = await self._client.rpc("items_of_day", parameters).execute()
            return parsed(_ITEMS, response.data)

        return await read_all(read)

    async def find_by_keys(self, keys: Sequence[str]) -> dict[str, Article]:
        """Return the items with these keys, by key, each as its most complete copy. Raises `SupabaseError`."""
        found: dict[str, Article] = {}
        for start in range(0, len(keys), KEYS_PER_CALL):
            batch = list(keys[start : start + KEYS_PER_CALL])
            with supabase_errors(f"find the items of {len(batch)} keys"):
                response = await self._client.rpc("items_with_keys", {"p_keys": batch}).execute()
            found |= {each.key: each.article for each in parsed(_KEYED_ARTICLES, response.data)}
        return found

    async def record_shown_keys(self, reader_id: UUID, keys: Sequence[str]) -> None:
        """Record that a reader was shown the items with these keys. Idempotent. Raises `SupabaseError`."""
        parameters = {"p_reader": str(reader_id), "p_keys": list(keys)}
        with supabase_errors(f"record the items shown to reader {reader_id}"):
            response = await self._client.rpc("record_shown_keys", parameters).execute()
        parsed(VOID, response.data)
