"""Syncs the libraries that readers have connected."""

from random import Random
from typing import Final

from app.errors import SourceBusy, SupabaseError
from app.libraries.sync import LibrarySync
from worker.periodic.repetition import repeat

ROUND: Final = 30.0
"""Seconds between two looks for libraries that are due."""
FIRST_WITHIN: Final = 5.0
"""Seconds after the start of a worker."""


class LibrarySyncer:
    """Syncs all libraries that are due. Every worker does it; each library is claimed by one of them."""

    def __init__(self, sync: LibrarySync, *, random: Random, interval: float = ROUND) -> None:
        self._sync = sync
        self._random = random
        self._interval = interval

    async def run(self) -> None:
        """Run until cancelled."""
        expected = (SourceBusy, SupabaseError)
        await repeat(
            *("library syncs", self._random, self.run_once),
            interval=self._interval,
            first_within=min(FIRST_WITHIN, self._interval),
            expected=expected,
        )

    async def run_once(self) -> None:
        """Sync the libraries that are due. Raises `SourceBusy` if Zotero requires a pause, and `SupabaseError`."""
        while await self._sync.run_next():
            pass
