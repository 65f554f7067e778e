"""Receives a library: stores a request's body in pieces as it arrives, and creates the task that imports it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID, uuid4

import structlog
from fastapi import Request

from app.api.connection import EXTEND_REQUEST
from app.errors import BroadsheetError, SupabaseError
from app.imports.entries import MAX_BYTES
from app.models.tasks import Task, TaskKind
from app.persistence.idempotency_keys import CallerKey
from app.persistence.new_task import NewTask
from app.persistence.reader_papers import BulkFeedback
from app.persistence.uploads import CALLER_UPLOADS, Uploads

UPLOAD_SECONDS: Final = 600.0
"""The most time for an upload: 50 MB arrive in it at 0.7 Mbit/s. Other requests must be complete after 30 s."""

PIECE: Final = 250_000
"""Bytes of a stored piece. One is in memory at a time, as bytes, as base64 and as JSON: about 2 MB per upload."""

log = structlog.get_logger(__name__)


class UploadTooSlow(BroadsheetError):
    """The upload took longer than `UPLOAD_SECONDS`."""

    status = HTTPStatus.REQUEST_TIMEOUT
    title = "Upload too slow"


class UploadTooLarge(BroadsheetError):
    """The file has more than `MAX_BYTES` bytes."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    title = "File too large"

    def __init__(self) -> None:
        super().__init__(f"The file has more than {MAX_BYTES} bytes. Import it in parts.")


class EmptyUpload(BroadsheetError):
    """The request has no file, or an empty one."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Empty file"

    def __init__(self) -> None:
        super().__init__("The file is empty. Send a library as BibTeX, RIS, CSL JSON or a list of DOIs or arXiv ids.")


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Whose upload it is: the owner of its task, the reader, the idempotency key, and how many the owner may have."""

    owner: str
    reader_id: UUID
    key: str | None = None
    receiving: int = CALLER_UPLOADS


class LibraryUpload:
    """One upload that is being received. `receive_library` opens and closes it."""

    def __init__(self, uploads: Uploads, target: UploadTarget) -> None:
        self.upload_id = uuid4()
        self._uploads = uploads
        self._target = target
        self._buffer = bytearray()
        self._content = hashlib.sha256()
        self._bytes = 0
        self._pieces = 0
        self.finished = False
        """Whether the upload is the file of a task, which removes it when it ends."""

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes of the file. Raises `UploadTooLarge`, `UploadRemoved`, `SupabaseError`."""
        self._bytes += len(chunk)
        if self._bytes > MAX_BYTES:
            raise UploadTooLarge
        self._content.update(chunk)
        self._buffer += chunk
        while len(self._buffer) >= PIECE:
            await self._store_piece()

    async def finish(self, feedback: BulkFeedback, *, media_type: str = "", callback_url: str | None = None) -> Task:
        """Create the task that imports the file, or return the one that the same key created.

        Raises `EmptyUpload`, `IdempotencyConflict`, `UploadRemoved`, `SupabaseError`.
        """
        if not self._bytes:
            raise EmptyUpload
        if self._buffer:
            await self._store_piece()
        task = self._new_task(feedback, media_type, callback_url)
        created = await self._uploads.finish(task, self._target.owner, self._target.reader_id, self._pieces)
        self.finished = created.task_id == self.upload_id
        return created

    async def _store_piece(self) -> None:
        piece = bytes(self._buffer[:PIECE])
        del self._buffer[:PIECE]
        await self._uploads.append(self.upload_id, self._pieces, piece)
        self._pieces += 1

    def _new_task(self, feedback: BulkFeedback, media_type: str, callback_url: str | None) -> NewTask:
        payload: dict[str, Any] = {
            "reader_id": str(self._target.reader_id),
            "feedback": feedback.value,
            "media_type": media_type,
        }
        sent = payload | {"sha256": self._content.hexdigest(), "callback_url": callback_url}
        key = CallerKey(self._target.key, sent) if self._target.key is not None else None
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        payload = payload | {"request_id": request_id}
        return NewTask(self.upload_id, TaskKind.IMPORT, payload, None, callback_url=callback_url, key=key)


@asynccontextmanager
async def receive_library(request: Request, uploads: Uploads, target: UploadTarget) -> AsyncIterator[LibraryUpload]:
    """Open an upload, give the request time for it, and remove it afterwards unless `finish` created its task.

    Raises `ReaderNotFound`, `UploadInProgress`, `TooManyUploads`, `UploadTooSlow`, `SupabaseError`.
    """
    upload = LibraryUpload(uploads, target)
    key = CallerKey(target.key) if target.key is not None else None
    await uploads.open(upload.upload_id, target.owner, target.reader_id, key, receiving=target.receiving)
    extend = getattr(request.state, EXTEND_REQUEST, None)
    if extend is not None:
        extend(UPLOAD_SECONDS)
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            yield upload
    except TimeoutError:
        raise UploadTooSlow(f"The upload was not complete after {UPLOAD_SECONDS:g} s. Import it in parts.") from None
    finally:
        if not upload.finished:
            await _discard(uploads, upload.upload_id)


async def _discard(uploads: Uploads, upload_id: UUID) -> None:
    """Remove an upload that became no task."""
    try:
        await uploads.discard(upload_id)
    except SupabaseError as error:
        log.warning("upload not removed, the retention removes it", upload_id=str(upload_id), error=str(error))
