"""Keeps the papers of connected libraries up to date: reads the libraries that are due, and records how it ended."""

from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

import structlog

from app.errors import SourceBusy, SourceError
from app.libraries.reading import LibraryRead, SyncProblem
from app.persistence.items import Items
from app.persistence.library_syncs import ClaimedLibrary, ClaimEnded, LibrarySyncs
from app.persistence.reader_libraries import LibraryProblem
from app.sources.zotero import KeyRefused, LibraryChanged, Zotero

log = structlog.get_logger(__name__)

AFTER_FAILURE: Final = timedelta(minutes=10)
AFTER_REFUSAL: Final = timedelta(days=1)
"""Zotero blocks addresses that send several wrong keys."""
AFTER_CHANGES: Final = timedelta(minutes=1)
"""After a sync that a busy library has interrupted `MAX_RESTARTS` times."""
MAX_RESTARTS: Final = 5


class LibrarySync:
    """Syncs the libraries that are due, one at a time."""

    def __init__(self, syncs: LibrarySyncs, items: Items, zotero: Zotero) -> None:
        self._syncs = syncs
        self._items = items
        self._zotero = zotero

    async def run_next(self) -> bool:
        """Sync the library that is due first; return False if none is.

        Raises `SourceBusy` if Zotero requires a pause, after which the sync continues, and `SupabaseError`.
        """
        token = uuid4()
        claimed = await self._syncs.claim(token)
        if claimed is None:
            return False
        try:
            await self._run(token, claimed)
        except ClaimEnded as error:
            log.info("library sync ended", reader_id=str(claimed.reader_id), reason=str(error))
        return True

    async def _run(self, token: UUID, claimed: ClaimedLibrary) -> None:
        """Sync a library, and record how it ended. Raises `SourceBusy`, `ClaimEnded`, `SupabaseError`."""
        try:
            await self._sync(token, claimed)
        except SourceBusy as error:
            await self._syncs.postpone(token, again=timedelta(seconds=error.retry_after))
            raise
        except KeyRefused as error:
            problem = SyncProblem(LibraryProblem.KEY_REFUSED, str(error), AFTER_REFUSAL)
        except SourceError as error:
            problem = SyncProblem(LibraryProblem.UNAVAILABLE, str(error), AFTER_FAILURE)
        except SyncProblem as error:
            problem = error
        else:
            return
        await self._syncs.fail(token, problem.kind, str(problem), again=problem.again)
        log.warning("library sync failed", reader_id=str(claimed.reader_id), kind=problem.kind, error=str(problem))

    async def _sync(self, token: UUID, claimed: ClaimedLibrary) -> None:
        for _ in range(MAX_RESTARTS):
            try:
                await LibraryRead(token, claimed, self._syncs, self._items, self._zotero).run()
            except LibraryChanged:
                log.info("library changed during its sync", reader_id=str(claimed.reader_id))
            else:
                return
        await self._syncs.postpone(token, again=AFTER_CHANGES)
