"""Readers as JSON lines: taken from a request's stream a batch at a time, each line for itself."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from uuid import uuid4

from pydantic import ValidationError

from app.api.problems import json_message
from app.api.reader_models import ImportedReader, ImportReport, RefusedLine
from app.errors import BroadsheetError
from app.persistence.readers import Readers

BATCH = 200
MAX_LINES = 10_000
MAX_LINE = 64_000
"""Bytes; a reader's words have some 20,000 characters at most."""
MAX_REASON = 300


class TooManyLines(BroadsheetError):
    """An import has more lines than are taken at once."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    title = "Too many lines"


class ReaderImport:
    """One import of an owner's readers. Repeating it is harmless, also after half of it."""

    def __init__(self, readers: Readers, owner: str) -> None:
        self._readers = readers
        self._owner = owner
        self._report = ImportReport()
        self._batch: dict[int, ImportedReader] = {}

    async def run(self, chunks: AsyncIterator[bytes]) -> ImportReport:
        """Make or change what the lines say. Raises `TooManyLines`, after the lines before, and `SupabaseError`."""
        number = 0
        async for line in lines_of(chunks):
            number += 1
            if number > MAX_LINES:
                await self._flush()
                raise TooManyLines(f"The first {MAX_LINES} lines were taken: send the rest in another import.")
            if line is None:
                self._refuse(number, f"the line has more than {MAX_LINE} bytes")
            elif line.strip():
                await self._take(number, line)
        await self._flush()
        self._report.refused.sort(key=lambda refused: refused.line)
        return self._report

    async def _take(self, number: int, line: bytes) -> None:
        try:
            self._batch[number] = ImportedReader.model_validate_json(line)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, problem["loc"]))
            said = json_message(problem)
            self._refuse(number, f"{where}: {said}" if where else said)
        if len(self._batch) >= BATCH:
            await self._flush()

    async def _flush(self) -> None:
        batch, self._batch = self._batch, {}
        if not batch:
            return
        rows = [reader.columns | {"reader_id": str(uuid4())} for reader in batch.values()]
        for number, put in zip(batch, await self._readers.import_readers(self._owner, rows), strict=True):
            match put.outcome:
                case "created":
                    self._report.created += 1
                case "changed":
                    self._report.changed += 1
                case "unchanged" | "existing":
                    self._report.unchanged += 1
                case "refused":
                    self._refuse(number, put.reason or "")

    def _refuse(self, number: int, reason: str) -> None:
        self._report.refused.append(RefusedLine(line=number, reason=reason[:MAX_REASON]))


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes | None]:
    """The lines of a stream; None for each that has more than `MAX_LINE` bytes, of which no more are kept."""
    begun, overlong = b"", False
    async for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            line = begun + part
            yield None if overlong or len(line) > MAX_LINE else line
            begun, overlong = b"", False
        begun += rest
        if len(begun) > MAX_LINE:
            begun, overlong = b"", True
    if begun or overlong:
        yield None if overlong else begun
