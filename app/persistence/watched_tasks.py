"""Reads the changes of many tasks since given versions, in one call."""

from collections.abc import Mapping
from uuid import UUID

from pydantic import BaseModel

from app.models.tasks import Task
from app.persistence.repository import Repository

UNKNOWN = ""
"""The version of a task that was never read: any state is a change."""

MAX_KNOWN = 2_000
"""Tasks per call: at 62 bytes each, an eighth of a megabyte."""


class ChangedTask(BaseModel):
    """A task's current state, and its version for the next call."""

    version: str
    task: Task


class Changes(BaseModel):
    """The changed tasks, and in `gone` those that no longer exist."""

    changed: list[ChangedTask]
    gone: list[UUID]


class WatchedTasks(Repository):
    """Reads the changes of the tasks that streams wait for."""

    async def changes(self, known: Mapping[UUID, str]) -> Changes:
        """Return the changes of up to `MAX_KNOWN` tasks since the `known` versions. Raises `SupabaseError`."""
        return await self._call(
            "watch_tasks",
            f"watch {len(known)} task(s)",
            Changes,
            p_known={str(task_id): version for task_id, version in known.items()},
        )
