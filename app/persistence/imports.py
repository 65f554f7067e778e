"""Imports of libraries: reads an uploaded file piece by piece, and records its entries with the report."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from app.errors import LeaseLost, PermanentError, UnreadableResponse
from app.models.tasks import Task, TaskKind
from app.models.values import Frozen
from app.persistence.json_values import clean_text
from app.persistence.outcomes import Lease
from app.persistence.reader_papers import FeedbackChange, PaperInput, paper_row
from app.persistence.repository import Repository
from app.persistence.tasks import RECORDS

EntryRow = dict[str, Any]
"""One entry of a library, as `import_entries()` expects it."""


class Rejection(Frozen):
    """An entry of a library that was not imported: its first line, its own key if it has one, and why."""

    line: int
    key: str
    reason: str


class LibraryReport(Frozen):
    """What became of a library's entries: each is accepted, already there or rejected.

    `rejections` has the first 500 rejected entries. `unread` says why the file was not read to its end, if so.
    """

    entries: int
    accepted: int
    already_there: int
    rejected: int
    rejections: tuple[Rejection, ...] = ()
    unread: str | None = None


class BegunImport(LibraryReport):
    """What earlier attempts of an import have done, and the number of the file's pieces."""

    pieces: int


class _Result(Frozen):
    kind: Literal["import"]
    result: LibraryReport | None = None


class Imports(Repository):
    """Reads and records imports of libraries. Every method is idempotent."""

    async def begin(self, task_id: UUID, code_version: str) -> BegunImport:
        """Begin or continue an import. Another `code_version` than the last attempt's counts from the beginning.

        Raises `PermanentError` if the file was removed, and `SupabaseError`.
        """
        action, missing, known = f"begin import {task_id}", _file_removed(task_id), {"p_code_version": code_version}
        return await self._found("begin_import", action, BegunImport, missing, p_task=task_id, **known)

    async def piece(self, task_id: UUID, number: int) -> bytes:
        """Read a piece of the file, from 0. Raises `PermanentError` if the file was removed, and `SupabaseError`."""
        action, missing = f"read piece {number} of import {task_id}", _file_removed(task_id)
        content = await self._found("read_piece", action, str, missing, p_task=task_id, p_number=number)
        try:
            return base64.b64decode(content, validate=True)
        except binascii.Error as error:
            raise UnreadableResponse(f"Piece {number} of import {task_id} is not base64: {error}.") from error

    async def record(self, lease: Lease, first: int, entries: Sequence[EntryRow]) -> LibraryReport:
        """Record entries (`accepted_row`, `rejected_row`), of which `first` were recorded before; return the report.

        If another attempt has recorded some of them, nothing is recorded: continue behind the report's entries.
        Raises `LeaseLost`, `SupabaseError`.
        """
        return await self._found(
            "import_entries",
            f"record {len(entries)} entries of import {lease.task_id}",
            LibraryReport,
            LeaseLost(f"Import {lease.task_id} has ended, or its lease has expired: its entries were not recorded."),
            p_task=lease.task_id,
            p_lease_token=lease.lease_token,
            p_from=first,
            p_entries=list(entries),
        )

    async def report(self, task_id: UUID) -> LibraryReport | None:
        """Return the report of a completed import; None of any other task. Raises `SupabaseError`."""
        query = self._client.table("tasks").select("kind,result").eq("task_id", str(task_id)).eq("kind", "import")
        found = await self._first(query, f"read the report of import {task_id}", _Result)
        return found.result if found else None

    async def newest(self, reader_id: UUID) -> Task | None:
        """Return the newest import of a reader, if there is one. Raises `SupabaseError`."""
        query = self._client.table(RECORDS).select("*").eq("reader_id", str(reader_id)).eq("kind", TaskKind.IMPORT)
        return await self._first(
            query.order("created_at", desc=True), f"read the newest import of reader {reader_id}", Task
        )


def accepted_row(line: int, key: str, paper: PaperInput, change: FeedbackChange) -> EntryRow:
    """Return the row of an entry that describes a paper."""
    return {"line": line, "key": clean_text(key), "paper": paper_row(paper, change)}


def rejected_row(line: int, key: str, reason: str) -> EntryRow:
    """Return the row of an entry that cannot be read."""
    return {"line": line, "key": clean_text(key), "reason": clean_text(reason)}


def _file_removed(task_id: UUID) -> PermanentError:
    return PermanentError(f"the file of import {task_id} was removed when it ended: upload it again")
