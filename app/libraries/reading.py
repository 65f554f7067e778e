"""One read of a connected library, as Zotero's manual describes it for clients.

A read of an unchanged library is one request. Otherwise it lists the versions of all entries, reads those whose
version is new, and then removes those that are no longer listed. All responses must have one version of the library.
What was read is recorded at once, so another read continues where this one ends.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog

from app.imports.entries import MAX_ENTRIES, AcceptedEntry, LibraryEntry, RejectedEntry
from app.models.libraries import Collection, collection_paths, path_matches
from app.persistence.items import Items
from app.persistence.library_syncs import ClaimedLibrary, LibrarySyncs, read_row, refused_row
from app.persistence.reader_libraries import LibraryProblem
from app.ranking.known_papers import with_known_abstracts
from app.sources.fetcher import ResponseTooLarge
from app.sources.zotero import ENTRIES_PER_REQUEST, MAX_BYTES, Entry, LibraryChanged, Versions, Zotero
from app.time_slice import TimeSlice

log = structlog.get_logger(__name__)

INTERVAL: Final = timedelta(hours=1)
"""Between two syncs of a library."""
MAX_MATCHES: Final = 100
"""Collections of one library: each is one request."""
REMOVED_PER_CALL: Final = 500
STEP: Final = 0.005
"""Seconds for which a read holds the event loop."""
NO_PAPERS: Final = frozenset({"attachment", "note", "annotation"})


class SyncProblem(Exception):
    """Why a sync ends without being complete."""

    def __init__(self, kind: LibraryProblem, text: str, again: timedelta = INTERVAL) -> None:
        super().__init__(text)
        self.kind = kind
        self.again = again


class _Listing(NamedTuple):
    """The entries that the reader wants, and how many more there are than a reader may have."""

    library_version: int
    entries: Mapping[str, int]
    excess: int = 0


class LibraryRead:
    """One read of a library, at one version of it."""

    def __init__(self, token: UUID, claimed: ClaimedLibrary, syncs: LibrarySyncs, items: Items, zotero: Zotero) -> None:
        self._token = token
        self._claimed = claimed
        self._syncs = syncs
        self._items = items
        self._zotero = zotero
        self._unread = 0

    async def run(self) -> None:
        """Read what has changed, and record the end of the sync.

        Raises `LibraryChanged` if the library changes meanwhile, `SyncProblem`, `SourceError`, `ClaimEnded`,
        `SupabaseError`.
        """
        listed = await self._list()
        if listed is None:
            await self._end_unchanged()
            return
        known = await self._syncs.versions(self._token)
        await self._require_entries(listed, known)
        listing = _cut(listed, known)
        stale = sorted(key for key, version in listing.entries.items() if known.get(key) != version)
        for batch in _batches(stale, ENTRIES_PER_REQUEST):
            await self._read(batch, listing)
        gone = sorted(known.keys() - listing.entries.keys())
        for batch in _batches(gone, REMOVED_PER_CALL):
            await self._syncs.remove(self._token, batch)
        await self._end(listing)
        log.info("library synced", reader_id=str(self._claimed.reader_id), read=len(stale), removed=len(gone))

    async def _list(self) -> Versions | None:
        """Return the entries of the library or of the wanted collections; None if nothing has changed."""
        access, since = self._claimed.access, self._claimed.version
        if not self._claimed.collections:
            return await self._zotero.versions(access, since=since)
        found = await self._zotero.collections(access, since=since)
        if found is None:
            return None
        entries: dict[str, int] = {}
        for key in _wanted(await matching_collections(found.collections, self._claimed.collections)):
            listed = await self._zotero.versions(access, collection=key)
            if listed is None or listed.library_version != found.library_version:
                raise LibraryChanged("The library changed while its collections were read.")
            entries |= listed.entries
            await self._syncs.hold(self._token)
        return Versions(found.library_version, entries)

    async def _require_entries(self, listed: Versions, known: Mapping[str, int]) -> None:
        """Raise `SyncProblem` if all entries are missing: this is more often a wrong response than an empty library."""
        if listed.entries or not known:
            return
        whole = await self._zotero.versions(self._claimed.access) if self._claimed.collections else None
        if whole is None or not whole.entries:
            raise SyncProblem(
                LibraryProblem.EMPTY,
                "Zotero lists no entries any more, so no paper was removed here. If the library is empty on purpose, "
                "disconnect it.",
            )
        if whole.library_version != listed.library_version:
            raise LibraryChanged("The library changed while its entries were listed.")

    async def _read(self, keys: Sequence[str], listing: _Listing) -> None:
        """Read entries and record them. Papers of entries that cannot be read are unchanged."""
        try:
            found = await self._zotero.entries(self._claimed.access, keys)
        except ResponseTooLarge:
            await self._read_less(keys, listing)
            return
        if found.library_version != listing.library_version:
            raise LibraryChanged("The library changed while its entries were read.")
        self._unread += len(keys) - len(found.entries)
        rows = await self._rows(found.entries, listing.entries)
        if rows:
            await self._syncs.record(self._token, rows)

    async def _read_less(self, keys: Sequence[str], listing: _Listing) -> None:
        """Read entries in two halves because they are too large together, such as long notes."""
        if len(keys) > 1:
            for half in _batches(keys, (len(keys) + 1) // 2):
                await self._read(half, listing)
            return
        reason = f"the entry is larger than {MAX_BYTES / 1e6:g} MB at Zotero"
        await self._syncs.record(self._token, [refused_row(key, listing.entries[key], reason) for key in keys])

    async def _rows(self, entries: Sequence[Entry], versions: Mapping[str, int]) -> list[dict[str, Any]]:
        time_slice, described = TimeSlice(STEP), list[LibraryEntry]()
        for entry in entries:
            described.append(_described(entry))
            await time_slice.checkpoint()
        accepted = [(each.article, each.publication) for each in described if isinstance(each, AcceptedEntry)]
        papers = iter(await with_known_abstracts(accepted, self._items, max_step=STEP))
        return [
            refused_row(entry.key, versions[entry.key], each.reason)
            if isinstance(each, RejectedEntry)
            else read_row(entry.key, versions[entry.key], next(papers))
            for entry, each in zip(entries, described, strict=True)
        ]

    async def _end_unchanged(self) -> None:
        """End a sync of a library that has not changed. If it had too many entries, it still has."""
        version, kind = self._claimed.version or 0, self._claimed.problem_kind
        kept = kind if kind is LibraryProblem.TOO_MANY else None
        await self._syncs.complete(
            self._token, version, again=INTERVAL, kind=kept, problem=(self._claimed.problem or "") if kept else ""
        )

    async def _end(self, listing: _Listing) -> None:
        if self._unread:
            text = f"Zotero did not return {self._unread:,} entries, so their papers are unchanged."
            raise SyncProblem(LibraryProblem.INCOMPLETE, text, INTERVAL)
        kind, problem = None, ""
        if listing.excess:
            kind = LibraryProblem.TOO_MANY
            problem = f"The library has {listing.excess:,} entries more than {MAX_ENTRIES:,}, which were not read."
        await self._syncs.complete(self._token, listing.library_version, again=INTERVAL, kind=kind, problem=problem)


async def matching_collections(collections: Sequence[Collection], patterns: Sequence[str]) -> list[str]:
    """Return the keys of the collections whose paths match one of the patterns, in order.

    Yields to the event loop between collections: a library can have thousands, and a reader writes the patterns.
    """
    time_slice, found = TimeSlice(STEP), list[str]()
    for key, path in collection_paths(collections).items():
        if path_matches(path, patterns):
            found.append(key)
        await time_slice.checkpoint()
    return sorted(found)


def _described(entry: Entry) -> LibraryEntry:
    # Imported on first use: loading the parsers takes a tenth of a second.
    from app.imports.csl import csl_entry  # noqa: PLC0415  (the comment above says why)

    if entry.item_type in NO_PAPERS:
        return RejectedEntry(1, entry.key, f"an entry of the type {entry.item_type} is not a paper")
    return csl_entry(1, entry.csl)


def _wanted(matching: Sequence[str]) -> Sequence[str]:
    if not matching:
        raise SyncProblem(
            LibraryProblem.COLLECTIONS,
            "No collection of the library matches the patterns, so no paper was added or removed. Correct the "
            "patterns.",
        )
    if len(matching) > MAX_MATCHES:
        text = f"{len(matching):,} collections match the patterns; at most {MAX_MATCHES} can be read. Choose fewer."
        raise SyncProblem(LibraryProblem.COLLECTIONS, text)
    return matching


def _cut(listed: Versions, known: Mapping[str, int]) -> _Listing:
    """Return as many entries as a reader may have papers, those first that were read before."""
    excess = len(listed.entries) - MAX_ENTRIES
    if excess <= 0:
        return _Listing(listed.library_version, listed.entries)
    kept = sorted(listed.entries, key=lambda key: (key not in known, key))[:MAX_ENTRIES]
    return _Listing(listed.library_version, {key: listed.entries[key] for key in kept}, excess)


def _batches(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
