"""What has become of many tasks since they were last looked at, asked in one call."""

from collections.abc import Mapping
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from supabase import AsyncClient

from app.models import Task
from app.persistence.errors import parsed, supabase_errors

UNKNOWN = ""
"""The version of a task that nobody has looked at: whatever it is now is a change."""

MAX_KNOWN = 2_000
"""Tasks in one call: with 62 bytes each, an eighth of a megabyte."""


class Changed(BaseModel):
    """A task as it is now, and the version by which to ask for what comes after."""

    version: str
    task: Task


class Changes(BaseModel):
    """What is another than it was; `gone` is what no longer exists."""

    changed: list[Changed]
    gone: list[UUID]


_CHANGES = TypeAdapter(Changes)


class WatchedTasks:
    """Asks for what has changed of the tasks that somebody watches."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def changes(self, known: Mapping[UUID, str]) -> Changes:
        """Say what has changed of up to `MAX_KNOWN` tasks since these versions. Raises `SupabaseError`."""
        parameters = {"p_known": {str(task_id): version for task_id, version in known.items()}}
        with supabase_errors(f"watch {len(known)} task(s)"):
            answer = await self._client.rpc("watch_tasks", parameters).execute()
        return parsed(_CHANGES, answer.data)
