"""Libraries at Zotero that readers have connected."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import AwareDatetime, SecretStr, TypeAdapter

from app.models.values import Frozen
from app.persistence.errors import VOID
from app.persistence.json_values import clean_text
from app.persistence.readers import reader_not_found
from app.persistence.repository import Repository

CHECK_INTERVAL: Final = timedelta(seconds=10)
"""The least time between two checks of keys for one reader."""


class LibraryProblem(StrEnum):
    """Why a library's last sync was not complete."""

    KEY_REFUSED = "key_refused"
    COLLECTIONS = "collections"
    EMPTY = "empty"
    INCOMPLETE = "incomplete"
    TOO_MANY = "too_many"
    UNAVAILABLE = "unavailable"


class ConnectedLibrary(Frozen):
    """A reader's library without its key.

    `papers`, `rejected` and `removed` count its entries: with a paper, without one, and with one that the reader
    removed here.
    """

    reader_id: UUID
    library: str
    collections: tuple[str, ...]
    connected_at: AwareDatetime
    next_sync_at: AwareDatetime
    synced_at: AwareDatetime | None
    is_syncing: bool
    problem_kind: LibraryProblem | None
    problem: str | None
    failing_since: AwareDatetime | None
    papers: int
    rejected: int
    removed: int


class LibraryIssue(Frozen):
    """A problem of a reader's library."""

    reader_id: UUID
    library: str
    problem_kind: LibraryProblem | None
    problem: str | None


class ChangedLibrary(Frozen):
    """A reader whose library changed in the readers file."""

    external_id: str
    reader_id: UUID


_CONNECTED = TypeAdapter(ConnectedLibrary | None)
_OUTCOME = TypeAdapter(Literal["connected", "key_missing"] | None)
_SECONDS = TypeAdapter(float | None)


class ReaderLibraries(Repository):
    """Stores connected libraries. Keys are written, and read only for a sync."""

    async def get(self, reader_id: UUID) -> ConnectedLibrary | None:
        """Return the reader's library, if one is connected. Raises `SupabaseError`."""
        action = f"read the library of reader {reader_id}"
        return await self._call("read_library", action, _CONNECTED, p_reader=reader_id)

    async def begin_check(self, reader_id: UUID, check: UUID) -> float:
        """Begin the check of a key for a reader; return 0, or the seconds until it may begin.

        Raises `ReaderNotFound`, `SupabaseError`.
        """
        wait = await self._call(
            "begin_key_check",
            f"begin the check of a key for reader {reader_id}",
            _SECONDS,
            p_reader=reader_id,
            p_check=check,
            p_interval_seconds=CHECK_INTERVAL.total_seconds(),
        )
        if wait is None:
            raise reader_not_found(reader_id)
        return wait

    async def connect(self, reader_id: UUID, library: str, collections: Sequence[str], key: SecretStr | None) -> bool:
        """Connect a library; without `key`, with the stored key of the same library.

        False if there is none, or Zotero refuses it.
        Another library replaces the connected one and its papers. Raises `ReaderNotFound`, `SupabaseError`.
        """
        outcome = await self._call(
            "connect_library",
            f"connect a library to reader {reader_id}",
            _OUTCOME,
            p_reader=reader_id,
            p_library=library,
            p_collections=[clean_text(pattern) for pattern in collections],
            p_key=key.get_secret_value() if key else None,
        )
        if outcome is None:
            raise reader_not_found(reader_id)
        return outcome == "connected"

    async def disconnect(self, reader_id: UUID, *, keep_papers: bool) -> bool:
        """Disconnect the reader's library, and remove the papers that came from it, or keep them as liked papers.

        Return whether a library was connected. Raises `SupabaseError`.
        """
        action = f"disconnect the library of reader {reader_id}"
        return await self._call("disconnect_library", action, bool, p_reader=reader_id, p_keep=keep_papers)

    async def issues(self, reader_ids: Sequence[UUID]) -> dict[UUID, LibraryIssue]:
        """Return the problems of these readers' libraries (up to 500 readers). Raises `SupabaseError`."""
        if not reader_ids:
            return {}
        query = self._client.table("reader_libraries").select("reader_id,library,problem_kind,problem")
        query = query.in_("reader_id", [str(each) for each in reader_ids])
        found = await self._rows(query, "read the problems of libraries", LibraryIssue)
        return {issue.reader_id: issue for issue in found if issue.problem is not None}

    async def changed_in_file(self, owner: str, entries: Mapping[str, Any]) -> list[ChangedLibrary]:
        """Return the readers of `entries` (external ids, each with the file's library) whose library changed there.

        Raises `SupabaseError`.
        """
        rows = [{"external_id": key, "library": library} for key, library in entries.items()]
        action = f"compare {len(rows)} libraries of the readers file"
        return await self._call("changed_file_libraries", action, list[ChangedLibrary], p_owner=owner, p_entries=rows)

    async def record_file_library(self, reader_id: UUID, library: Mapping[str, Any]) -> None:
        """Record the library that the readers file has for a reader. Raises `SupabaseError`."""
        action = f"record the library of reader {reader_id} in the readers file"
        await self._call("record_file_library", action, VOID, p_reader=reader_id, p_library=dict(library))
