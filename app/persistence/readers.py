"""Readers: the people who get scheduled digests. Creates, changes, lists, removes, imports and exports them."""

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from datetime import datetime, time
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, TypeAdapter
from supabase import AsyncClient

from app.errors import InvalidReader, ReaderExists, ReaderNotFound, SupabaseRejected
from app.models import MAX_CATEGORIES, MAX_INTERESTS, MAX_ITEMS, CategoryName, Frozen, Language, ShortText
from app.persistence.errors import parsed, supabase_errors
from app.persistence.json_values import clean
from app.persistence.paging import read_all

COLUMNS = (
    "reader_id,owner,external_id,user_id,name,email,profile,timezone,send_at,weekdays,when_empty,status,status_reason,"
    "next_due_at,schedule_problem,created_at,updated_at"
)
MAX_AUTHORS = 50
MAX_EXCLUDED = 30
PAGE = 500
CHECK_VIOLATION = "23514"
"""SQLSTATE. The message names the check constraint."""
UNIQUE_VIOLATION = "23505"
"""SQLSTATE."""


class ReaderProfile(Frozen):
    """A reader's preferences. The database has the same checks (`profile_is_valid`)."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    goals: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""
    interests: tuple[ShortText, ...] = Field(default=(), max_length=MAX_INTERESTS)
    exclude: tuple[ShortText, ...] = Field(default=(), max_length=MAX_EXCLUDED)
    authors: tuple[ShortText, ...] = Field(default=(), max_length=MAX_AUTHORS)
    categories: tuple[CategoryName, ...] = Field(default=(), max_length=MAX_CATEGORIES)
    language: Language = Field("en", description="The language in which a model writes summaries (BCP 47).")
    max_papers: int = Field(12, ge=0, le=MAX_ITEMS)
    max_news: int = Field(6, ge=0, le=MAX_ITEMS)


class ReaderStatus(StrEnum):
    """Whether a reader gets digests. `unsubscribed`: the reader chose it; `bounced`: the mails were returned."""

    ACTIVE = "active"
    PAUSED = "paused"
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"


WhenEmpty = Literal["notify", "skip"]
"""What happens on a day without new items: a mail of one line, or no mail."""


class Reader(Frozen):
    """A row of `readers`. The schedule is `timezone`, `send_at` and `weekdays` (Monday is 1)."""

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
    """Readers ordered by id, and the cursor of the next page (None on the last page)."""

    readers: tuple[Reader, ...]
    next_cursor: UUID | None


class UpsertResult(Frozen):
    """The result of creating or changing a reader. `reason` says why one was refused."""

    reader_id: UUID | None
    outcome: Literal["created", "changed", "unchanged", "existing", "refused"]
    reason: str | None = None


class _Private(Frozen):
    link_generation: int


_READERS = TypeAdapter(list[Reader])
_UPSERTED = TypeAdapter(list[UpsertResult])
_PRIVATE = TypeAdapter(list[_Private])
_FLAG = TypeAdapter(bool)


class Readers:
    """Stores readers. An `owner` of None means the readers of all owners, for admins."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(self, owner: str, reader: Mapping[str, Any]) -> Reader:
        """Create a reader from the columns in `reader`, which include `reader_id`, and `welcome`.

        Raises `ReaderExists` if the owner has a reader with this external_id, `InvalidReader`, `SupabaseError`.
        """
        (result,) = await self._upsert(owner, [reader], change=False)
        if result.outcome == "existing":
            raise ReaderExists(
                f"The external_id {reader.get('external_id')!r} belongs to reader {result.reader_id} already."
            )
        if result.reader_id is None:
            raise InvalidReader(f"The reader cannot be stored: {result.reason}.")
        return await self.get(result.reader_id, owner)

    async def import_readers(self, owner: str, readers: Sequence[Mapping[str, Any]]) -> list[UpsertResult]:
        """Create readers, or change the given columns of those with the same external_id; their status stays.

        Each reader succeeds or fails independently; results are in order. Pass a few hundred per call. Raises
        `SupabaseError`.
        """
        return await self._upsert(owner, readers, change=True)

    async def get(self, reader_id: UUID, owner: str | None = None) -> Reader:
        """Read a reader. Raises `ReaderNotFound`, also for another owner's, and `SupabaseError`."""
        query = self._client.table("readers").select(COLUMNS).eq("reader_id", str(reader_id))
        if owner is not None:
            query = query.eq("owner", owner)
        with supabase_errors(f"read reader {reader_id}"):
            response = await query.limit(1).execute()
        return _single(parsed(_READERS, response.data), reader_id)

    async def change(self, reader_id: UUID, changes: Mapping[str, Any], owner: str | None = None) -> Reader:
        """Set columns of a reader. A changed schedule starts at its next occurrence; a digest that is due is still
        written.

        Raises `ReaderNotFound`, `ReaderExists` (another reader has the external_id or user_id), `InvalidReader`,
        `SupabaseError`.
        """
        query = self._client.table("readers").update(clean(dict(changes))).eq("reader_id", str(reader_id))
        if owner is not None:
            query = query.eq("owner", owner)
        try:
            with supabase_errors(f"change reader {reader_id}"):
                response = await query.execute()
        except SupabaseRejected as error:
            if error.code == UNIQUE_VIOLATION:
                raise ReaderExists(f"Another reader has that external_id or user_id already: {error}") from error
            if error.code == CHECK_VIOLATION:
                raise InvalidReader(str(error)) from error
            raise
        return _single(parsed(_READERS, response.data), reader_id)

    async def change_status(
        self, reader_id: UUID, status: ReaderStatus, reason: str | None, *, from_statuses: Set[ReaderStatus]
    ) -> Reader:
        """Set a reader's status if its current one is in `from_statuses`; return the reader as it is afterwards.

        Raises `ReaderNotFound`, `SupabaseError`.
        """
        query = self._client.table("readers").update({"status": status, "status_reason": reason})
        with supabase_errors(f"change the status of reader {reader_id}"):
            response = await query.eq("reader_id", str(reader_id)).in_("status", sorted(from_statuses)).execute()
        changed = parsed(_READERS, response.data)
        return changed[0] if changed else await self.get(reader_id)

    async def remove(self, reader_id: UUID, owner: str | None = None) -> None:
        """Remove a reader with its digests, deliveries and tasks. No error if the reader does not exist.

        Raises `SupabaseError`.
        """
        with supabase_errors(f"remove reader {reader_id}"):
            parameters = {"p_reader_id": str(reader_id), "p_owner": owner}
            response = await self._client.rpc("remove_reader", parameters).execute()
        parsed(_FLAG, response.data)

    async def page(
        self,
        owner: str | None,
        *,
        after: UUID | None = None,
        limit: int = 50,
        status: ReaderStatus | None = None,
        external_id: str | None = None,
    ) -> list[Reader]:
        """List readers ordered by id, after the id `after`. Raises `SupabaseError`.

        Only an empty list is the end; a shorter list than `limit` (at most 500) is not.
        """
        query = self._client.table("readers").select(COLUMNS)
        filters = {"owner": owner, "status": status, "external_id": external_id}
        for column, value in filters.items():
            query = query.eq(column, value) if value is not None else query
        if after is not None:
            query = query.gt("reader_id", str(after))
        with supabase_errors("list readers"):
            response = await query.order("reader_id").limit(min(limit, PAGE)).execute()
        return parsed(_READERS, response.data)

    async def list_page(
        self,
        owner: str | None,
        *,
        cursor: UUID | None = None,
        limit: int = 50,
        status: ReaderStatus | None = None,
        external_id: str | None = None,
    ) -> ReaderPage:
        """List up to `limit` readers ordered by id, with the cursor of the next page. Raises `SupabaseError`."""

        async def read(found: Sequence[Reader]) -> list[Reader]:
            after = found[-1].reader_id if found else cursor
            missing = limit + 1 - len(found)
            return await self.page(owner, after=after, limit=missing, status=status, external_id=external_id)

        found = await read_all(read, limit + 1)
        return ReaderPage(
            readers=tuple(found[:limit]), next_cursor=found[limit - 1].reader_id if len(found) > limit else None
        )

    async def pages(self, owner: str | None) -> AsyncIterator[list[Reader]]:
        """Yield all readers, a page at a time. Raises `SupabaseError`."""
        page = await self.page(owner, limit=PAGE)
        while page:
            yield page
            page = await self.page(owner, after=page[-1].reader_id, limit=PAGE)

    async def link_generation(self, reader_id: UUID) -> int:
        """Return the generation of the reader's valid links. Raises `ReaderNotFound`, `SupabaseError`."""
        query = self._client.table("readers_private").select("link_generation").eq("reader_id", str(reader_id))
        with supabase_errors(f"read the link generation of reader {reader_id}"):
            response = await query.limit(1).execute()
        found = parsed(_PRIVATE, response.data)
        if not found:
            raise _no_reader(reader_id)
        return found[0].link_generation

    async def revoke_links(self, reader_id: UUID, generation: int) -> None:
        """Revoke all links up to this `generation`. Idempotent. Raises `SupabaseError`."""
        query = self._client.table("readers_private").update({"link_generation": generation + 1})
        with supabase_errors(f"revoke the links of reader {reader_id}"):
            await query.eq("reader_id", str(reader_id)).eq("link_generation", generation).execute()

    async def _upsert(self, owner: str, readers: Sequence[Mapping[str, Any]], *, change: bool) -> list[UpsertResult]:
        parameters = {"p_owner": owner, "p_readers": [clean(dict(each)) for each in readers], "p_change": change}
        with supabase_errors(f"create or change {len(readers)} reader(s)"):
            response = await self._client.rpc("upsert_readers", parameters).execute()
        return parsed(_UPSERTED, response.data)


def _single(found: list[Reader], reader_id: UUID) -> Reader:
    if not found:
        raise _no_reader(reader_id)
    return found[0]


def _no_reader(reader_id: UUID) -> ReaderNotFound:
    return ReaderNotFound(f"There is no reader {reader_id}: it was never created, or was removed.")
