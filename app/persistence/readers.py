"""Readers: for whom digests are written by themselves; made, changed, listed, removed, brought in and out in bulk."""

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from datetime import datetime, time
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, TypeAdapter
from supabase import AsyncClient

from app.errors import InvalidReader, ReaderExists, ReaderNotFound, SupabaseRejected
from app.models import MAX_CATEGORIES, MAX_INTERESTS, MAX_ITEMS, CategoryName, Frozen, ShortText
from app.persistence.errors import parsed, supabase_errors
from app.persistence.json_values import clean
from app.persistence.paging import read_on

COLUMNS = (
    "reader_id,owner,external_id,user_id,name,email,profile,timezone,send_at,weekdays,when_empty,status,status_reason,"
    "next_due_at,schedule_problem,created_at,updated_at"
)
MAX_AUTHORS = 50
MAX_EXCLUDED = 30
PAGE = 500
BROKEN_RULE = "23514"
"""A check of the database; its message says which."""
TAKEN = "23505"


class ReaderProfile(Frozen):
    """A reader's words, and how much they want of it. The database checks the same (`profile_is_valid`)."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    goals: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""
    interests: tuple[ShortText, ...] = Field(default=(), max_length=MAX_INTERESTS)
    exclude: tuple[ShortText, ...] = Field(default=(), max_length=MAX_EXCLUDED)
    authors: tuple[ShortText, ...] = Field(default=(), max_length=MAX_AUTHORS)
    categories: tuple[CategoryName, ...] = Field(default=(), max_length=MAX_CATEGORIES)
    max_papers: int = Field(12, ge=0, le=MAX_ITEMS)
    max_news: int = Field(6, ge=0, le=MAX_ITEMS)


class ReaderStatus(StrEnum):
    """Whether a reader gets digests: `unsubscribed` by the reader's own wish, `bounced` because mails come back."""

    ACTIVE = "active"
    PAUSED = "paused"
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"


WhenEmpty = Literal["notify", "skip"]
"""What comes of a day that brings nothing new: a mail of one line, or none."""


class Reader(Frozen):
    """A row of `readers`. The schedule is `timezone`, `send_at` and `weekdays` (Monday is 1); times are the database's."""

    reader_id: UUID
    owner: str
    external_id: str
    user_id: UUID | None = None
    name: str
    email: str | None = None
    profile: ReaderProfile
    timezone: str | None = None
    send_at: time | None = None
    weekdays: tuple[int, ...]
    when_empty: WhenEmpty
    status: ReaderStatus
    status_reason: str | None = None
    next_due_at: datetime | None = None
    schedule_problem: str | None = None
    created_at: datetime
    updated_at: datetime


class ReaderPage(Frozen):
    """Readers by their ids, and the cursor of the next page (None: this was the last)."""

    readers: tuple[Reader, ...]
    next_cursor: UUID | None


class Put(Frozen):
    """What became of a reader that was to be made or changed; `reason` says why one was refused."""

    reader_id: UUID | None
    outcome: Literal["created", "changed", "unchanged", "existing", "refused"]
    reason: str | None = None


class _Private(Frozen):
    link_generation: int


_READERS = TypeAdapter(list[Reader])
_PUTS = TypeAdapter(list[Put])
_PRIVATE = TypeAdapter(list[_Private])
_FLAG = TypeAdapter(bool)


class Readers:
    """Keeps readers. An `owner` of None is an admin's: everybody's readers."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(self, owner: str, reader: Mapping[str, Any]) -> Reader:
        """Make a reader with the columns in `reader`, its `reader_id` among them, and `welcome`.

        Raises `ReaderExists` if the owner has one of this external_id, `InvalidReader`, `SupabaseError`.
        """
        (put,) = await self._put(owner, [reader], change=False)
        if put.outcome == "existing":
            raise ReaderExists(f"The external_id {reader.get('external_id')!r} is that of reader {put.reader_id}.")
        if put.reader_id is None:
            raise InvalidReader(f"The reader cannot be kept: {put.reason}.")
        return await self.get(put.reader_id, owner)

    async def import_readers(self, owner: str, readers: Sequence[Mapping[str, Any]]) -> list[Put]:
        """Make readers, or change those of the same external_id by what is given; their status stays.

        Each counts by itself: the answers are in their order. A few hundred a call. Raises `SupabaseError`.
        """
        return await self._put(owner, readers, change=True)

    async def get(self, reader_id: UUID, owner: str | None = None) -> Reader:
        """Read a reader. Raises `ReaderNotFound`, also for another owner's, and `SupabaseError`."""
        query = self._client.table("readers").select(COLUMNS).eq("reader_id", str(reader_id))
        if owner is not None:
            query = query.eq("owner", owner)
        with supabase_errors(f"read reader {reader_id}"):
            answer = await query.limit(1).execute()
        return _the_one(parsed(_READERS, answer.data), reader_id)

    async def change(self, reader_id: UUID, changes: Mapping[str, Any], owner: str | None = None) -> Reader:
        """Set columns of a reader. A changed schedule begins at its next occurrence; a digest that is due is
        still written.

        Raises `ReaderNotFound`, `ReaderExists` (an external_id or user_id that is another's), `InvalidReader`,
        `SupabaseError`.
        """
        query = self._client.table("readers").update(clean(dict(changes))).eq("reader_id", str(reader_id))
        if owner is not None:
            query = query.eq("owner", owner)
        try:
            with supabase_errors(f"change reader {reader_id}"):
                answer = await query.execute()
        except SupabaseRejected as error:
            if error.code == TAKEN:
                raise ReaderExists(f"Another reader has that external_id or user_id already: {error}") from error
            if error.code == BROKEN_RULE:
                raise InvalidReader(str(error)) from error
            raise
        return _the_one(parsed(_READERS, answer.data), reader_id)

    async def move(
        self, reader_id: UUID, status: ReaderStatus, reason: str | None, *, among: Set[ReaderStatus]
    ) -> Reader:
        """Give a reader this status if it has one of `among` until now; answers it as it then is.

        Raises `ReaderNotFound`, `SupabaseError`.
        """
        query = self._client.table("readers").update({"status": status, "status_reason": reason})
        with supabase_errors(f"change the status of reader {reader_id}"):
            answer = await query.eq("reader_id", str(reader_id)).in_("status", sorted(among)).execute()
        moved = parsed(_READERS, answer.data)
        return moved[0] if moved else await self.get(reader_id)

    async def remove(self, reader_id: UUID, owner: str | None = None) -> None:
        """Remove a reader and everything about it: digests, deliveries, tasks; it may be gone already.

        Raises `SupabaseError`.
        """
        with supabase_errors(f"remove reader {reader_id}"):
            parameters = {"p_reader_id": str(reader_id), "p_owner": owner}
            answer = await self._client.rpc("remove_reader", parameters).execute()
        parsed(_FLAG, answer.data)

    async def page(
        self,
        owner: str | None,
        *,
        after: UUID | None = None,
        limit: int = 50,
        status: ReaderStatus | None = None,
        external_id: str | None = None,
    ) -> list[Reader]:
        """List readers by their ids, behind `after`. Raises `SupabaseError`.

        Fewer than `limit` (500 at most) are no sign that these were the last; none are.
        """
        query = self._client.table("readers").select(COLUMNS)
        wanted = {"owner": owner, "status": status, "external_id": external_id}
        for column, value in wanted.items():
            query = query.eq(column, value) if value is not None else query
        if after is not None:
            query = query.gt("reader_id", str(after))
        with supabase_errors("list readers"):
            answer = await query.order("reader_id").limit(min(limit, PAGE)).execute()
        return parsed(_READERS, answer.data)

    async def list_page(
        self,
        owner: str | None,
        *,
        cursor: UUID | None = None,
        limit: int = 50,
        status: ReaderStatus | None = None,
        external_id: str | None = None,
    ) -> ReaderPage:
        """List up to `limit` readers by their ids, and say whether there are more. Raises `SupabaseError`."""

        async def read(found: Sequence[Reader]) -> list[Reader]:
            after = found[-1].reader_id if found else cursor
            wanted = limit + 1 - len(found)
            return await self.page(owner, after=after, limit=wanted, status=status, external_id=external_id)

        found = await read_on(read, limit + 1)
        return ReaderPage(
            readers=tuple(found[:limit]), next_cursor=found[limit - 1].reader_id if len(found) > limit else None
        )

    async def pages(self, owner: str | None) -> AsyncIterator[list[Reader]]:
        """All readers, a page at a time. Raises `SupabaseError`."""
        page = await self.page(owner, limit=PAGE)
        while page:
            yield page
            page = await self.page(owner, after=page[-1].reader_id, limit=PAGE)

    async def link_generation(self, reader_id: UUID) -> int:
        """The generation of links that counts. Raises `ReaderNotFound`, `SupabaseError`."""
        query = self._client.table("readers_private").select("link_generation").eq("reader_id", str(reader_id))
        with supabase_errors(f"read the links' generation of reader {reader_id}"):
            answer = await query.limit(1).execute()
        found = parsed(_PRIVATE, answer.data)
        if not found:
            raise _no_reader(reader_id)
        return found[0].link_generation

    async def revoke_links(self, reader_id: UUID, generation: int) -> None:
        """End all links up to this `generation`; once, however often it is said. Raises `SupabaseError`."""
        query = self._client.table("readers_private").update({"link_generation": generation + 1})
        with supabase_errors(f"revoke the links of reader {reader_id}"):
            await query.eq("reader_id", str(reader_id)).eq("link_generation", generation).execute()

    async def _put(self, owner: str, readers: Sequence[Mapping[str, Any]], *, change: bool) -> list[Put]:
        parameters = {"p_owner": owner, "p_readers": [clean(dict(each)) for each in readers], "p_change": change}
        with supabase_errors(f"put {len(readers)} reader(s)"):
            answer = await self._client.rpc("upsert_readers", parameters).execute()
        return parsed(_PUTS, answer.data)


def _the_one(found: list[Reader], reader_id: UUID) -> Reader:
    if not found:
        raise _no_reader(reader_id)
    return found[0]


def _no_reader(reader_id: UUID) -> ReaderNotFound:
    return ReaderNotFound(f"There is no reader {reader_id}: it was never made, or was removed.")
