"""What a reader does with their own data: requests a link by mail, downloads everything, deletes everything."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import TypeAdapter

from app.persistence.readers import reader_not_found
from app.persistence.repository import Repository

LinkKind = Literal["download_link", "delete_link"]
"""What a link is for; the kind of its delivery."""
RequestOutcome = Literal["requested", "no_email", "too_many"]
BeginOutcome = Literal["begun", "expired", "erased"]
EraseOutcome = Literal["more", "sending", "erased"]

SECTIONS: Final = (
    *("reader", "papers", "digests", "deliveries", "tasks", "shown_items", "shown_digests", "uploads"),
    *("reader_libraries", "library_entries"),
)
"""The sections of a download: what the database has about a reader."""
ROWS: Final = 500
"""The most rows that one call reads; of sections with large rows, the database returns fewer."""

_REQUESTED = TypeAdapter[RequestOutcome | None](RequestOutcome | None)
_BEGUN = TypeAdapter[BeginOutcome](BeginOutcome)
_ERASED = TypeAdapter[EraseOutcome](EraseOutcome)
_ROWS = TypeAdapter(list[dict[str, Any]])


class OwnData(Repository):
    """A reader's own data. Links are valid for 15 minutes by the database's clock."""

    async def request_link(self, link_id: UUID, reader_id: UUID, kind: LinkKind) -> RequestOutcome:
        """Request the mail with a link, whose id the caller chooses: a repetition requests nothing more.

        `too_many`: the reader has requested five links within a day. Raises `ReaderNotFound`, `SupabaseError`.
        """
        outcome = await self._call(
            "request_link",
            f"request a link for reader {reader_id}",
            _REQUESTED,
            p_link=link_id,
            p_reader=reader_id,
            p_kind=kind,
        )
        if outcome is None:
            raise reader_not_found(reader_id)
        return outcome

    async def link_is_valid(self, link_id: UUID, reader_id: UUID, kind: LinkKind) -> bool:
        """Return whether a link was requested within the last 15 minutes. Raises `SupabaseError`."""
        action = f"check a link of reader {reader_id}"
        return await self._call("link_is_valid", action, bool, p_link=link_id, p_reader=reader_id, p_kind=kind)

    async def begin_erasure(self, link_id: UUID, reader_id: UUID) -> BeginOutcome:
        """Begin to delete everything about a reader: nothing is sent from now on. A repetition changes nothing.

        `expired`: the link is not valid. `erased`: there is no such reader. Raises `SupabaseError`.
        """
        action = f"begin to delete the data of reader {reader_id}"
        return await self._call("begin_erasure", action, _BEGUN, p_link=link_id, p_reader=reader_id)

    async def erase(self, reader_id: UUID) -> EraseOutcome:
        """Delete the next rows of a reader whose erasure has begun; call it again until the outcome is `erased`.

        `sending`: nothing was deleted, because a mail to the reader is being sent. Raises `SupabaseError`.
        """
        return await self._call("erase_reader", f"delete the data of reader {reader_id}", _ERASED, p_reader=reader_id)

    async def to_erase(self, limit: int = 100) -> list[UUID]:
        """List readers whose erasure has begun and has not ended. Raises `SupabaseError`."""
        return await self._call("readers_to_erase", "list the readers to delete", list[UUID], p_limit=limit)

    async def rows(self, reader_id: UUID, section: str, after: str | None = None) -> Sequence[dict[str, Any]]:
        """Return the next rows of one of `SECTIONS`, after the row with the `id` `after`. Raises `SupabaseError`."""
        return await self._call(
            "own_data",
            f"read the {section} of reader {reader_id}",
            _ROWS,
            p_reader=reader_id,
            p_section=section,
            p_after=after,
            p_limit=ROWS,
        )

    async def pages(self, reader_id: UUID, section: str) -> AsyncIterator[Sequence[dict[str, Any]]]:
        """Yield all rows of a section, a page at a time. Raises `SupabaseError`."""
        page = await self.rows(reader_id, section)
        while page:
            yield page
            # A section with one row, such as the reader's own, has no `id`.
            page = await self.rows(reader_id, section, str(page[-1].get("id", "")))
