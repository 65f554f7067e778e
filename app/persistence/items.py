"""Items: papers and news, each once, by the day on which it was first seen; and what of them is new to a reader."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter
from supabase import AsyncClient

from app.models import Article, Frozen, Item, RatedPaper
from app.persistence.errors import VOID, parsed, supabase_errors
from app.persistence.paging import read_on

READ_PAGE: Final = 500
NAMED_AT_ONCE: Final = 100

LONGEST_WAIT_FOR_FETCH: Final = timedelta(minutes=10)
"""How long after its beginning a scheduled digest no longer waits for a fetch that runs, and takes what there is."""


class ArrivalDay(Frozen):
    """What was first seen on a day (UTC): how many items, and when one of them last changed."""

    day: date
    items: int
    changed_at: datetime


class MissingSource(Frozen):
    """A source that could not be read, for which days, and why it was the last time."""

    source: str
    days: tuple[date, ...]
    reason: str


class NewItems(Frozen):
    """What a scheduled digest is made of: all that was first seen on `days`, less the items in `shown`.

    `fetching` is a fetch of these days that runs or is about to. `papers` are those that the reader rated, the youngest
    first. Of the last digest's time those count whose mail was sent; None: there was none. `unread`: no source has been
    read for the day that the digest is about. `day_left`: how long the reader's day still lasts.
    """

    last_digest: datetime | None
    since: datetime
    days: tuple[ArrivalDay, ...]
    shown: frozenset[UUID]
    missing: tuple[MissingSource, ...]
    fetching: UUID | None
    papers: tuple[RatedPaper, ...]
    unread: bool
    day_left: timedelta

    def is_worth_waiting_for(self, waited: timedelta) -> UUID | None:
        """The fetch that a digest begun so long ago should wait for; None if it should go on."""
        return self.fetching if waited < LONGEST_WAIT_FOR_FETCH else None

    def wait_left(self, waited: timedelta, longest: timedelta) -> timedelta:
        """How much longer a digest begun so long ago waits for a day that is unread; zero if it should go on."""
        return max(timedelta(0), min(longest - waited, self.day_left)) if self.unread else timedelta(0)


class _Named(Frozen):
    key: str
    article: Article


_NEWS = TypeAdapter(NewItems)
_NAMED = TypeAdapter(list[_Named])
_ITEMS = TypeAdapter(list[Item])


class Items:
    """Reads items by the day on which they were first seen, and notes which a reader was shown."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def new_items_for(
        self, reader_id: UUID, source_date: date | None = None, local_day: date | None = None
    ) -> NewItems:
        """Say what is new to a reader since the last digest, what the reader rated, and, of a day, whether it was read.

        It reaches two days further back, as writes may commit late, and 16 days at most; a first digest gets a week.
        Raises `SupabaseError`.
        """
        with supabase_errors(f"read what is new to reader {reader_id}"):
            parameters = {
                "p_reader": str(reader_id),
                "p_source_date": source_date.isoformat() if source_date else None,
                "p_local_day": local_day.isoformat() if local_day else None,
            }
            answer = await self._client.rpc("items_for_schedule", parameters).execute()
        return parsed(_NEWS, answer.data)

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
                answer = await self._client.rpc("items_of_day", parameters).execute()
            return parsed(_ITEMS, answer.data)

        return await read_on(read)

    async def named(self, keys: Sequence[str]) -> dict[str, Article]:
        """What is known by these keys: each one's item, as its best copy. Raises `SupabaseError`."""
        found: dict[str, Article] = {}
        for start in range(0, len(keys), NAMED_AT_ONCE):
            some = list(keys[start : start + NAMED_AT_ONCE])
            with supabase_errors(f"read what {len(some)} keys name"):
                answer = await self._client.rpc("items_with_keys", {"p_keys": some}).execute()
            found |= {named.key: named.article for named in parsed(_NAMED, answer.data)}
        return found

    async def record_shown_keys(self, reader_id: UUID, keys: Sequence[str]) -> None:
        """Note that a reader was shown the items with these keys; again changes nothing. Raises `SupabaseError`."""
        parameters = {"p_reader": str(reader_id), "p_keys": list(keys)}
        with supabase_errors(f"note what reader {reader_id} was shown"):
            answer = await self._client.rpc("record_shown_keys", parameters).execute()
        parsed(VOID, answer.data)
