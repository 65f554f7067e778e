"""Readers: the people who get scheduled digests. Creates, changes, lists, removes, imports and exports them."""

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from datetime import datetime, time
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from app.errors import InvalidReader, ReaderExists, ReaderNotFound, SupabaseRejected
from app.models.profiles import DigestSize, Preferences
from app.models.values import Frozen, Language
from app.persistence.json_values import clean
from app.persistence.paging import first_page, read_all
from app.persistence.repository import Repository, required

COLUMNS = (
    "reader_id,owner,external_id,user_id,name,email,profile,timezone,send_at,weekdays,when_empty,status,status_reason,"
    "next_due_at,schedule_problem,created_at,updated_at"
)
PAGE = 500
CHECK_VIOLATION = "23514"
"""SQLSTATE. The message names the check constraint."""
UNIQUE_VIOLATION = "23505"
"""SQLSTATE."""
ERASED = "deleted by the reader, not created again"
"""What a report says about a reader with the outcome `erased`."""


class ReaderProfile(DigestSize, Preferences):
    """A reader's preferences. The database has the same checks (`profile_is_valid`)."""

    language: Language = Field("en", description="The language in which a model writes summaries (BCP 47).")


class ReaderStatus(StrEnum):
    """Whether a reader gets digests.

    `unconfirmed`: it gets nothing but a confirmation mail; `unsubscribed`: the reader chose it; `bounced`: the mails
    were returned.
    """

    ACTIVE = "active"
    UNCONFIRMED = "unconfirmed"
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
    outcome: Literal["created", "changed", "unchanged", "existing", "refused", "erased"]
    """`erased`: the reader deleted their data, and is not created again."""
    reason: str | None = None


class _Private(Frozen):
    link_generation: int


class Readers(Repository):
    """Stores readers. An `owner` of None means the readers of all owners, for admins."""

    async def create(self, owner: str, reader: Mapping[str, Any]) -> Reader:
        """Create a reader from the columns in `reader`, which include `reader_id`, `welcome` and `confirm`.

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
        return await self._one(query, f"read reader {reader_id}", Reader, reader_not_found(reader_id), owner=owner)

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
            changed = await self._rows(query, f"change reader {reader_id}", Reader)
        except SupabaseRejected as error:
            if error.code == UNIQUE_VIOLATION:
                raise ReaderExists(f"Another reader has that external_id or user_id already: {error}") from error
            if error.code == CHECK_VIOLATION:
                raise InvalidReader(str(error)) from error
            raise
        return required(changed, reader_not_found(reader_id))

    async def change_status(
        self, reader_id: UUID, status: ReaderStatus, reason: str | None, *, from_statuses: Set[ReaderStatus]
    ) -> Reader:
        """Set a reader's status if its current one is in `from_statuses`; return the reader as it is afterwards.

        Raises `ReaderNotFound`, `SupabaseError`.
        """
        query = self._client.table("readers").update({"status": status, "status_reason": reason})
        query = query.eq("reader_id", str(reader_id)).in_("status", sorted(from_statuses))
        changed = await self._rows(query, f"change the status of reader {reader_id}", Reader)
        return changed[0] if changed else await self.get(reader_id)

    async def remove(self, reader_id: UUID, owner: str | None = None) -> None:
        """Remove a reader with its digests, deliveries and tasks. No error if the reader does not exist.

        Raises `SupabaseError`.
        """
        await self._call("remove_reader", f"remove reader {reader_id}", bool, p_reader_id=reader_id, p_owner=owner)

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
        return await self._rows(query.order("reader_id").limit(min(limit, PAGE)), "list readers", Reader)

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

        readers, next_cursor = first_page(await read_all(read, limit + 1), limit, lambda last: last.reader_id)
        return ReaderPage(readers=readers, next_cursor=next_cursor)

    async def pages(self, owner: str | None) -> AsyncIterator[list[Reader]]:
        """Yield all readers, a page at a time. Raises `SupabaseError`."""
        page = await self.page(owner, limit=PAGE)
        while page:
            yield page
            page = await self.page(owner, after=page[-1].reader_id, limit=PAGE)

    async def link_generation(self, reader_id: UUID) -> int:
        """Return the generation of the reader's valid links. Raises `ReaderNotFound`, `SupabaseError`."""
        query = self._client.table("readers_private").select("link_generation").eq("reader_id", str(reader_id))
        action = f"read the link generation of reader {reader_id}"
        return (await self._one(query, action, _Private, reader_not_found(reader_id))).link_generation

    async def revoke_links(self, reader_id: UUID, generation: int) -> None:
        """Revoke all links up to this `generation`. Idempotent. Raises `SupabaseError`."""
        query = self._client.table("readers_private").update({"link_generation": generation + 1})
        query = query.eq("reader_id", str(reader_id)).eq("link_generation", generation)
        await self._rows(query, f"revoke the links of reader {reader_id}", _Private)

    async def _upsert(self, owner: str, readers: Sequence[Mapping[str, Any]], *, change: bool) -> list[UpsertResult]:
        return await self._call(
            "upsert_readers",
            f"create or change {len(readers)} reader(s)",
            list[UpsertResult],
            p_owner=owner,
            p_readers=[clean(dict(each)) for each in readers],
            p_change=change,
        )


def reader_not_found(reader_id: UUID) -> ReaderNotFound:
    """Return the error about a reader that does not exist."""
    return ReaderNotFound(f"There is no reader {reader_id}: it was never created, or was removed.")
