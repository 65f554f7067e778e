"""Connects the libraries of a readers file: those that changed in the file since it was applied."""

from collections.abc import Sequence

from app.errors import QuotaExceeded, ReaderNotFound, TemporarilyUnavailable
from app.libraries.connection import LibraryConnections, LibraryKeyMissing
from app.persistence.reader_libraries import ChangedLibrary, ReaderLibraries
from app.persistence.readers_file import FileEntry
from app.sources.zotero import KeyRefused

BATCH = 200


class FileLibraries:
    """Connects and disconnects libraries as the file says. Repetitions change nothing."""

    def __init__(self, libraries: ReaderLibraries, connections: LibraryConnections) -> None:
        self._libraries = libraries
        self._connections = connections

    async def apply(self, owner: str, entries: Sequence[FileEntry]) -> dict[str, str]:
        """Connect the changed libraries of stored readers, and disconnect those that the file no longer has.

        Returns by key why a library could not be connected; the next application of the file tries it again. Raises
        `SupabaseError`.
        """
        problems: dict[str, str] = {}
        for start in range(0, len(entries), BATCH):
            batch = {entry.key: entry for entry in entries[start : start + BATCH]}
            stored = {key: entry.library.stored if entry.library else {} for key, entry in batch.items()}
            for changed in await self._libraries.changed_in_file(owner, stored):
                problem = await self._connect(changed, batch[changed.external_id])
                if problem is None:
                    await self._libraries.record_file_library(changed.reader_id, stored[changed.external_id])
                else:
                    problems[changed.external_id] = problem
        return problems

    async def _connect(self, changed: ChangedLibrary, entry: FileEntry) -> str | None:
        library = entry.library
        if library is None:
            await self._libraries.disconnect(changed.reader_id, keep_papers=False)
            return None
        try:
            await self._connections.connect(changed.reader_id, library.id, library.collections, library.key)
        except (KeyRefused, LibraryKeyMissing, QuotaExceeded, TemporarilyUnavailable, ReaderNotFound) as error:
            return str(error)
        return None
