"""Imports readers from JSON lines: reads the request as a stream and stores the lines in batches."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from uuid import uuid4

from pydantic import ValidationError

from app.api.confirmations import NO_CONFIRMATIONS
from app.api.problems import json_message
from app.api.reader_models import ImportedReader, ImportReport, RefusedLine
from app.errors import BroadsheetError
from app.persistence.readers import ERASED, Readers

BATCH = 200
MAX_LINES = 10_000
MAX_LINE = 64_000
"""Bytes; a profile has at most about 20,000 characters."""
MAX_REASON = 300


class TooManyLines(BroadsheetError):
    """An import has more than `MAX_LINES` lines."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class ReaderImport:
    """One import of an owner's readers. It can be repeated safely, also after an interrupted import.

    `can_confirm`: whether the settings allow confirmation mails.
    """

    def __init__(self, readers: Readers, owner: str, *, can_confirm: bool) -> None:
        self._readers = readers
        self._owner = owner
        self._can_confirm = can_confirm
        self._report = ImportReport()
        self._batch: dict[int, ImportedReader] = {}

    async def run(self, chunks: AsyncIterator[bytes]) -> ImportReport:
        """Create or change the readers. Raises `TooManyLines` after importing the first lines, and `SupabaseError`."""
        number = 0
        async for line in lines_of(chunks):
            number += 1
            if number > MAX_LINES:
                await self._flush()
                raise TooManyLines(f"The first {MAX_LINES} lines were imported: send the rest in another import.")
            if line is None:
                self._refuse(number, f"the line has more than {MAX_LINE} bytes")
            elif line.strip():
                await self._take(number, line)
        await self._flush()
        self._report.refused.sort(key=lambda refused: refused.line)
        return self._report

    async def _take(self, number: int, line: bytes) -> None:
        try:
            reader = ImportedReader.model_validate_json(line)
            if reader.needs_confirmation and not self._can_confirm:
                self._refuse(number, NO_CONFIRMATIONS)
            else:
                self._batch[number] = reader
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(map(str, problem["loc"]))
            message = json_message(problem)
            self._refuse(number, f"{field}: {message}" if field else message)
        if len(self._batch) >= BATCH:
            await self._flush()

    async def _flush(self) -> None:
        batch, self._batch = self._batch, {}
        if not batch:
            return
        rows = [reader.columns | {"reader_id": str(uuid4())} for reader in batch.values()]
        for number, result in zip(batch, await self._readers.import_readers(self._owner, rows), strict=True):
            match result.outcome:
                case "created":
                    self._report.created += 1
                case "changed":
                    self._report.changed += 1
                case "unchanged" | "existing":
                    self._report.unchanged += 1
                case "refused":
                    self._refuse(number, result.reason or "")
                case "erased":
                    self._refuse(number, ERASED)

    def _refuse(self, number: int, reason: str) -> None:
        self._report.refused.append(RefusedLine(line=number, reason=reason[:MAX_REASON]))


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes | None]:
    """Yield the lines of a stream; None for a line with more than `MAX_LINE` bytes, which is not kept in memory."""
    partial, overlong = b"", False
    async for chunk in chunks:
        *complete, rest = chunk.split(b"\n")
        for part in complete:
            line = partial + part
            yield None if overlong or len(line) > MAX_LINE else line
            partial, overlong = b"", False
        partial += rest
        if len(partial) > MAX_LINE:
            partial, overlong = b"", True
    if partial or overlong:
        yield None if overlong else partial
