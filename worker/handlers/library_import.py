"""Import tasks: read an uploaded library piece by piece, and add its papers to a reader's, in batches."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ValidationError

import app
from app.errors import LeaseLost, PermanentError
from app.imports.entries import AcceptedEntry, LibraryEntry, LibraryUnreadable, RejectedEntry
from app.persistence.imports import BegunImport, EntryRow, Imports, LibraryReport, accepted_row, rejected_row
from app.persistence.items import Items
from app.persistence.reader_papers import LIBRARY, BulkFeedback
from app.ranking.known_papers import with_known_abstracts
from worker.job import Job

TIMEOUT: Final = timedelta(minutes=15)
"""For one attempt. 20,000 entries take about a minute; the next attempt continues where this one ends."""

BATCH: Final = 200
"""Entries per call: some 0.2 s in the database, far below its limit of 8 s, and 600 kB of JSON."""

STEP: Final = 0.005
"""Seconds for which an import holds the event loop: in shorter steps, digests would make it several times slower."""

READ_SHARE: Final = 0.98
"""The progress when the whole file was read; the rest is the end of the task."""


def parsers_version() -> str:
    """Return a name of the code that reads libraries: other code may count the entries of a file differently."""
    folder, content = Path(app.__file__).parent, hashlib.sha256()
    for path in sorted(path for package in ("imports", "sources") for path in (folder / package).glob("*.py")):
        content.update(path.read_bytes())
    return content.hexdigest()[:32]


class ImportPayload(BaseModel):
    """The payload of an import, as the API and the page write it. The task's id is that of the upload."""

    reader_id: UUID
    feedback: BulkFeedback
    media_type: str = ""


class ImportHandler:
    """Imports the library of a task. Another attempt continues where the last one ended."""

    def __init__(self, imports: Imports, items: Items, *, code_version: str) -> None:
        self._imports = imports
        self._items = items
        self._code_version = code_version

    async def __call__(self, job: Job) -> dict[str, Any]:
        """Import the file; return the report. Raises `PermanentError`, `LeaseLost`, `SupabaseError`."""
        try:
            payload = ImportPayload.model_validate(job.task.payload)
        except ValidationError as error:
            raise PermanentError(f"the import's payload cannot be read: {error}") from error
        begun = await self._imports.begin(job.task.task_id, self._code_version)
        return await _Attempt(job, payload, begun, self._imports, self._items).run()


class _Attempt:
    """One attempt of an import."""

    def __init__(self, job: Job, payload: ImportPayload, begun: BegunImport, imports: Imports, items: Items) -> None:
        self._job = job
        self._payload = payload
        self._pieces = begun.pieces
        self._report: LibraryReport = begun
        self._imports = imports
        self._items = items
        self._pieces_read = 0

    async def run(self) -> dict[str, Any]:
        """Read the file from its beginning, and record the entries that earlier attempts have not recorded."""
        # Imported on first use: loading the parsers takes a tenth of a second.
        from app.imports.library import read_library  # noqa: PLC0415  (the comment above says why)

        batch: list[LibraryEntry] = []
        entries, unread = 0, None
        try:
            async for entry in read_library(self._read_pieces(), self._payload.media_type):
                entries += 1
                if entries > self._report.entries:
                    batch.append(entry)
                if len(batch) >= BATCH:
                    await self._record(batch)
                    batch = []
        except LibraryUnreadable as error:
            if entries == 0:
                raise PermanentError(str(error)) from error
            unread = str(error)
        if batch:
            await self._record(batch)
        return _result(self._report, unread)

    async def _read_pieces(self) -> AsyncIterator[bytes]:
        for number in range(self._pieces):
            yield await self._imports.piece(self._job.task.task_id, number)
            self._pieces_read = number + 1

    async def _record(self, batch: Sequence[LibraryEntry]) -> None:
        rows = await self._rows(batch)
        while rows:
            first = self._report.entries
            self._report = await self._imports.record(self._job.task.lease, first, rows)
            recorded = self._report.entries - first
            if recorded <= 0:
                raise LeaseLost(f"Another worker began import {self._job.task.task_id} again.")
            rows = rows[recorded:]
        message = f"{self._report.entries:,} entries read: {self._report.accepted:,} new papers"
        await self._job.report(message, READ_SHARE * self._pieces_read / max(1, self._pieces))

    async def _rows(self, batch: Sequence[LibraryEntry]) -> list[EntryRow]:
        accepted = [entry for entry in batch if isinstance(entry, AcceptedEntry)]
        described = [(entry.article, entry.publication) for entry in accepted]
        papers = iter(await with_known_abstracts(described, self._items, max_step=STEP))
        change = self._payload.feedback.change
        return [
            rejected_row(entry.line, entry.key, entry.reason)
            if isinstance(entry, RejectedEntry)
            else accepted_row(entry.line, entry.key, next(papers).model_copy(update={"origin": LIBRARY}), change)
            for entry in batch
        ]


def _result(report: LibraryReport, unread: str | None) -> dict[str, Any]:
    """Return the task's result; the rejected entries are in the order of the file."""
    rejections = sorted(report.rejections, key=lambda rejection: rejection.line)
    counts = report.model_dump(include={"entries", "accepted", "already_there", "rejected"})
    return counts | {"rejections": [each.model_dump() for each in rejections], "unread": unread}
