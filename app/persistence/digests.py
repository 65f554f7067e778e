"""Digests as they were written: the document and its page, apart from the task that asked for them."""

from datetime import date
from typing import Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from supabase import AsyncClient

from app.errors import DigestNotFound
from app.persistence.errors import parsed, supabase_errors


class StoredDigest(BaseModel):
    """A digest as JSON, as `app.models.Digest` has it, and the page that was rendered of it."""

    digest: dict[str, Any]
    page: str


_DIGESTS = TypeAdapter(list[StoredDigest])


class Digests:
    """Reads digests. They are written by the outcome of their task, in the same transaction."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def get(self, task_id: UUID) -> StoredDigest:
        """Read what a task wrote. Raises `DigestNotFound`, `SupabaseError`."""
        query = self._client.table("digests").select("digest,page").eq("task_id", str(task_id)).limit(1)
        with supabase_errors(f"read the digest of task {task_id}"):
            answer = await query.execute()
        found = parsed(_DIGESTS, answer.data)
        if not found:
            raise DigestNotFound(f"There is no digest of task {task_id}: it has not completed, or was removed.")
        return found[0]

    async def of_day(self, reader_id: UUID, local_day: date) -> StoredDigest:
        """Read what was written for one of a reader's days. Raises `DigestNotFound`, `SupabaseError`."""
        query = self._client.table("digests").select("digest,page").eq("reader_id", str(reader_id))
        with supabase_errors(f"read the digest of reader {reader_id}"):
            answer = await query.eq("local_day", local_day.isoformat()).limit(1).execute()
        found = parsed(_DIGESTS, answer.data)
        if not found:
            raise DigestNotFound(f"There is no digest of {local_day} for reader {reader_id}: it was removed.")
        return found[0]
