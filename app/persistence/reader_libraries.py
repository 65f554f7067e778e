"""Libraries at Zotero that readers have connected, and the syncs that keep their papers up to date."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import AwareDatetime, SecretStr, TypeAdapter

from app.errors import BroadsheetError, ReaderNotFound
from app.models.libraries import Access
from app.models.values import Frozen
from app.persistence.errors import VOID
from app.persistence.json_values import clean_text
from app.persistence.reader_papers import PaperInput, paper_row
from app.persistence.repository import Repository

ZOTERO: Final = "zotero"
"""The origin of papers of connected libraries."""
CLAIM: Final = timedelta(minutes=2)
"""Time without a renewal after which a worker loses its claim. It is longer than any request to Zotero takes."""
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


class ClaimedLibrary(Frozen):
    """A library that this worker syncs now. `version` is that of its last complete sync, `problem` of its last one."""

    reader_id: UUID
    library: str
    collections: tuple[str, ...]
    version: int | None
    problem_kind: LibraryProblem | None
    problem: str | None
    key: SecretStr

    @property
    def access(self) -> Access:
        """The library and its key, as Zotero's client expects them."""
        return Access(self.library, self.key)


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


class ClaimEnded(BroadsheetError):
    """Another worker has claimed the library, or it was connected again or disconnected: this sync has no effect."""


_CONNECTED = TypeAdapter(ConnectedLibrary | None)
_CLAIMED = TypeAdapter(ClaimedLibrary | None)
_OUTCOME = TypeAdapter(Literal["connected", "key_missing"] | None)
_SECONDS = TypeAdapter(float | None)
_HELD = TypeAdapter(UUID | None)
_VERSIONS = TypeAdapter(list[tuple[str, int]] | None)


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
            raise _no_reader(reader_id)
        return wait

    async def connect(self, reader_id: UUID, library: str, collections: Sequence[str], key: SecretStr | None) -> bool:
        """Connect a library; without `key`, with the stored key of the same library. False if there is none.

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
            raise _no_reader(reader_id)
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


class LibrarySyncs(Repository):
    """The steps of a sync. Each raises `ClaimEnded` if the claim has ended, and `SupabaseError`."""

    async def claim(self, token: UUID) -> ClaimedLibrary | None:
        """Claim the library that is due first, if one is due. A repetition returns the same library."""
        action = "claim a library to sync"
        return await self._call("claim_library", action, _CLAIMED, p_token=token, p_seconds=CLAIM.total_seconds())

    async def hold(self, token: UUID) -> None:
        """Renew the claim."""
        seconds = CLAIM.total_seconds()
        if await self._call("hold_library", "renew a claim", _HELD, p_token=token, p_seconds=seconds) is None:
            raise _ended()

    async def versions(self, token: UUID) -> dict[str, int]:
        """Return the versions of the library's entries, as far as they were read."""
        action = "read the versions of a library's entries"
        seconds = CLAIM.total_seconds()
        found = await self._call("library_versions", action, _VERSIONS, p_token=token, p_seconds=seconds)
        if found is None:
            raise _ended()
        return dict(found)

    async def record(self, token: UUID, entries: Sequence[Mapping[str, Any]]) -> None:
        """Record up to 200 entries (`read_row`, `refused_row`). A repetition changes nothing."""
        claim = {"p_token": token, "p_seconds": CLAIM.total_seconds()}
        action = f"record {len(entries)} entries of a library"
        _require(await self._call("record_library_entries", action, bool, **claim, p_entries=list(entries)))

    async def remove(self, token: UUID, keys: Sequence[str]) -> None:
        """Remove up to 500 entries, and the papers that came from them alone."""
        claim = {"p_token": token, "p_seconds": CLAIM.total_seconds()}
        action = f"remove {len(keys)} entries of a library"
        _require(await self._call("remove_library_entries", action, bool, **claim, p_keys=list(keys)))

    async def complete(
        self, token: UUID, version: int, *, again: timedelta, kind: LibraryProblem | None = None, problem: str = ""
    ) -> None:
        """End a complete sync of a version; `problem` says what of it could not be stored."""
        await self._end(token, version, kind, problem, again)

    async def fail(self, token: UUID, kind: LibraryProblem, problem: str, *, again: timedelta) -> None:
        """End a sync that was not complete; the next one begins in `again`."""
        await self._end(token, None, kind, problem, again)

    async def postpone(self, token: UUID, *, again: timedelta) -> None:
        """End a sync that is no failure; a problem of the last one stays."""
        await self._end(token, None, None, "", again)

    async def _end(
        self, token: UUID, version: int | None, kind: LibraryProblem | None, problem: str, again: timedelta
    ) -> None:
        ended = await self._call(
            "end_library_sync",
            "end the sync of a library",
            bool,
            p_token=token,
            p_version=version,
            p_problem_kind=kind,
            p_problem=clean_text(problem)[:500] if kind else None,
            p_seconds=again.total_seconds(),
        )
        _require(ended)


def read_row(key: str, version: int, paper: PaperInput) -> dict[str, Any]:
    """Return the row of an entry that describes a paper."""
    liked = paper_row(paper.model_copy(update={"origin": ZOTERO}), {"liked": True})
    return {"key": key, "version": version, "paper": liked | {"synced": True}}


def refused_row(key: str, version: int, reason: str) -> dict[str, Any]:
    """Return the row of an entry that is not a paper, or cannot be identified."""
    return {"key": key, "version": version, "reason": clean_text(reason)[:300]}


def _no_reader(reader_id: UUID) -> ReaderNotFound:
    return ReaderNotFound(f"There is no reader {reader_id}: it was never created, or was removed.")


def _require(held: bool) -> None:
    if not held:
        raise _ended()


def _ended() -> ClaimEnded:
    return ClaimEnded("Another worker syncs the library, or it was connected again or disconnected.")
