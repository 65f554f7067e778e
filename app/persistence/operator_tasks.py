"""Tasks as operators see them: the list of failures, and everything about one task."""

import re
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter

from app.errors import TaskNotFound
from app.models.tasks import Task, TaskKind, TaskStatus
from app.models.values import Frozen
from app.persistence.json_values import clean_text
from app.persistence.paging import encode_cursor
from app.persistence.repository import Repository
from app.persistence.tasks import TaskPage

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
_SAMPLED: Final = 1


class Attempt(Frozen):
    """An attempt that failed, was snoozed, or lost its worker. `started_at` and `ended_at` are the database's times."""

    worker_id: UUID
    host: str | None
    attempt: int
    outcome: str
    started_at: datetime | None
    ended_at: datetime
    error: str | None


class TaskDelivery(Frozen):
    """The delivery of a digest: the mail that resulted from a task, or that the task sends."""

    delivery_id: UUID
    kind: str
    local_day: date
    status: str
    reason: str | None
    task_id: UUID | None
    begun_at: datetime | None
    ended_at: datetime | None
    resolved_by: str | None


class TaskDetails(Frozen):
    """Everything about a task. `payload` is None if it has more than 100,000 bytes.

    `at` is the database's time. `waits_for` is the task that must end first, `waiting_tasks` the number of tasks that
    wait for this one (1,000 at most), `paused` the reason of a pause of its kind. `callbacks` and `attempts` are the
    last ten, newest first.
    """

    at: datetime
    task: Task
    payload: dict[str, Any] | None
    traceparent: str | None
    replays: int
    waits_for: Task | None
    paused: str | None
    waiting_tasks: int
    callbacks: tuple[Task, ...]
    delivery: TaskDelivery | None
    attempts: tuple[Attempt, ...]

    @property
    def trace_id(self) -> str | None:
        """The trace id of `traceparent`, 32 hexadecimal digits (W3C Trace Context); None if there is none."""
        found = _TRACEPARENT.match(self.traceparent or "")
        return found[1] if found else None

    @property
    def trace_is_recorded(self) -> bool:
        """Whether the trace was sampled, as the flags of `traceparent` say: only then does a collector have it."""
        found = _TRACEPARENT.match(self.traceparent or "")
        return found is not None and bool(int(found[2], 16) & _SAMPLED)


_DETAILS: TypeAdapter[TaskDetails | None] = TypeAdapter(TaskDetails | None)


class OperatorTasks(Repository):
    """Reads tasks of all owners. All methods raise `SupabaseError`."""

    async def details(self, task_id: UUID) -> TaskDetails:
        """Read everything about a task, of one moment. Raises `TaskNotFound`."""
        found = await self._call("task_details", f"read the details of task {task_id}", _DETAILS, p_task_id=task_id)
        if found is None:
            raise TaskNotFound(f"There is no such task {task_id}: it was never created, or was removed.")
        return found

    async def list_failures(
        self,
        *,
        owner: str | None = None,
        kind: TaskKind | None = None,
        status: TaskStatus | None = None,
        source_date: date | None = None,
        cause: str | None = None,
        text: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> TaskPage:
        """List tasks with an error, the newest failure first: failed ones, and unfinished ones that will be retried.

        `text` is a part of the error, in any case; `cause` selects the tasks of a group of failures. Raises
        `InvalidCursor` for a cursor that no page returned.
        """
        filters = {
            "p_owner": owner,
            "p_kind": kind,
            "p_status": status,
            "p_source_date": source_date,
            "p_cause": cause,
            "p_text": None if text is None else clean_text(text),
        }
        return TaskPage(*await self._page("list_failures", "list failures", Task, _cursor, limit, cursor, **filters))


def _cursor(task: Task) -> str:
    return encode_cursor(task.updated_at, task.task_id)
