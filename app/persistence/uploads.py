"""Uploads of libraries: files that arrive in pieces and are stored until a worker has imported them."""

import base64
from typing import Final, Literal
from uuid import UUID

from pydantic import BaseModel

from app.errors import TooManyUploads, UploadInProgress, UploadRemoved
from app.models.tasks import Task
from app.persistence.created_tasks import CreatedTasks
from app.persistence.idempotency_keys import CallerKey
from app.persistence.new_task import NewTask
from app.persistence.readers import reader_not_found
from app.persistence.repository import Repository
from app.tracing.current import sending

CALLER_UPLOADS: Final = 4
"""How many uploads the API receives from one caller at a time."""
RETRY_UPLOAD: Final = 10.0
"""Seconds until a caller with too many uploads tries again."""


class _Opened(BaseModel):
    outcome: Literal["opened", "reader_busy", "caller_busy"]
    task_id: UUID | None = None


class Uploads(Repository):
    """Stores uploads: one per reader, a few per owner. Every method is idempotent."""

    async def open(
        self, upload_id: UUID, owner: str, reader_id: UUID, key: CallerKey | None, *, receiving: int = CALLER_UPLOADS
    ) -> None:
        """Begin an upload; `receiving` is the most that are received for the owner at a time.

        `key` belongs to the import that the upload becomes: the upload of an unfinished import may be repeated.
        Raises `ReaderNotFound`, `UploadInProgress`, `TooManyUploads`, `SupabaseError`.
        """
        opened = await self._found(
            "open_upload",
            f"begin an upload for reader {reader_id}",
            _Opened,
            reader_not_found(reader_id),
            p_upload=upload_id,
            p_owner=owner,
            p_reader=reader_id,
            p_key=key.stored if key else None,
            p_receiving=receiving,
        )
        if opened.outcome == "reader_busy":
            raise _in_progress(opened.task_id)
        if opened.outcome == "caller_busy":
            message = f"{owner} has too many uploads that are being received or imported. Try again in a few seconds."
            raise TooManyUploads(message, retry_after=RETRY_UPLOAD)

    async def append(self, upload_id: UUID, number: int, piece: bytes) -> None:
        """Store the piece with this number, from 0. Raises `UploadRemoved`, `SupabaseError`."""
        content = base64.b64encode(piece).decode("ascii")
        action, piece_of = f"store piece {number} of upload {upload_id}", {"p_upload": upload_id, "p_number": number}
        if not await self._call("append_piece", action, bool, p_content=content, **piece_of):
            raise _removed()

    async def finish(self, task: NewTask, owner: str, reader_id: UUID, pieces: int) -> Task:
        """End the upload with the task's id, and create the task; or return the one that the same key created.

        Raises `IdempotencyConflict` if the key was used with a different request, `UploadRemoved`, `SupabaseError`.
        """
        row = task.as_row() | {"reader_id": str(reader_id)}
        with sending([row]):
            created = await self._found(
                "finish_upload",
                f"end upload {task.task_id}",
                CreatedTasks,
                _removed(),
                p_upload=task.task_id,
                p_owner=owner,
                p_pieces=pieces,
                p_tasks=[row],
            )
        (imported,) = created.tasks_of([task], owner)
        return imported.model_copy(update={"reader_id": reader_id})

    async def discard(self, upload_id: UUID) -> None:
        """Remove an upload that is not complete, with its pieces. Raises `SupabaseError`."""
        query = self._client.table("uploads").delete().eq("upload_id", str(upload_id)).eq("received", "false")
        await self._rows(query, f"remove upload {upload_id}", dict)


def _in_progress(task_id: UUID | None) -> UploadInProgress:
    if task_id is None:
        return UploadInProgress("Another upload for this reader is being received. Wait until it has ended.")
    return UploadInProgress(f"The import {task_id} of this reader has not ended. Wait for its end, or cancel it.")


def _removed() -> UploadRemoved:
    return UploadRemoved(
        "The upload was removed before it was complete: no part arrived for a minute. Upload it again."
    )
