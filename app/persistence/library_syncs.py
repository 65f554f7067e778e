"""Syncs of connected libraries: each step names the claim of the worker that syncs the library."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from pydantic import SecretStr, TypeAdapter

from app.errors import BroadsheetError
from app.models.libraries import Access
from app.models.values import Frozen
from app.persistence.json_values import clean_text
from app.persistence.reader_libraries import LibraryProblem
from app.persistence.reader_papers import PaperInput, paper_row
from app.persistence.repository import Repository

ZOTERO: Final = "zotero"
"""The origin of papers of connected libraries."""
CLAIM: Final = timedelta(minutes=2)
"""Time without a renewal after which a worker loses its claim. It is longer than any request to Zotero takes."""


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


class ClaimEnded(BroadsheetError):
    """Another worker has claimed the library, or it was connected again or disconnected: this sync has no effect."""


_CLAIMED = TypeAdapter(ClaimedLibrary | None)
_HELD = TypeAdapter(UUID | None)
_VERSIONS = TypeAdapter(list[tuple[str, int]] | None)


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


def _require(held: bool) -> None:
    if not held:
        raise _ended()


def _ended() -> ClaimEnded:
    return ClaimEnded("Another worker syncs the library, or it was connected again or disconnected.")
