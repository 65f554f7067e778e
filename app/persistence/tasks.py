"""Tasks as the API and the handlers see them: created, read, listed, cancelled, and shown to make progress."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, TypeAdapter
from supabase import AsyncClient

from app.errors import IdempotencyConflict, InvalidCursor, LeaseLost, TaskNotFound
from app.models import Task, TaskKind, TaskStatus
from app.persistence.errors import parsed, supabase_errors
from app.persistence.json_values import clean, clean_text

RECORDS = "task_records"
"""The view of everything but payload and result, which can be large: a poll never reads them unless asked."""

MAX_PAGE = 100
DEFAULT_ATTEMPTS = 5
ZONES_END = timedelta(hours=16)
"""PostgreSQL refuses a time whose zone is so far from UTC, or further."""


class _Cancelled(BaseModel):
    task: Task


class _Created(BaseModel):
    outcome: Literal["created", "existing", "conflict"]
    task: Task


_TASKS = TypeAdapter(list[Task])
_CANCELLED = TypeAdapter(_Cancelled | None)
_CREATED = TypeAdapter(_Created)
_FLAG = TypeAdapter(bool)
_CURSOR = TypeAdapter(tuple[AwareDatetime, UUID])


@dataclass(frozen=True)
class CallerKey:
    """An idempotency key that an API caller chose."""

    key: str

    @property
    def stored(self) -> str:
        """The key as it lies in the table; the prefix keeps callers away from the service's own."""
        return f"caller:{self.key}"


@dataclass(frozen=True)
class OwnKey:
    """A key of the service's own, such as `fetch:2026-11-22`; it passes on when its task failed or was cancelled."""

    key: str

    @property
    def stored(self) -> str:
        """The key as it lies in the table."""
        return f"own:{self.key}"


def fetch_key(source_date: date) -> OwnKey:
    """The key that makes the fetch of a day one task, whoever asks for it."""
    return OwnKey(f"fetch:{source_date.isoformat()}")


@dataclass(frozen=True)
class TaskPage:
    """Tasks, newest first, and the cursor of the next page (None: this was the last)."""

    tasks: tuple[Task, ...]
    next_cursor: str | None


class TaskStateManager:
    """Keeps the state of tasks. Every method may be repeated: what was applied once is not applied again."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create_task_with_source_date(
        self,
        *,
        task_id: UUID,
        kind: TaskKind,
        payload: Mapping[str, Any],
        source_date: date | None,
        priority: int = 1,
        delay: timedelta = timedelta(0),
        max_attempts: int = DEFAULT_ATTEMPTS,
        callback_url: str | None = None,
        idempotency_key: CallerKey | OwnKey | None = None,
    ) -> Task:
        """Create a task, ready after `delay`; with a key that is in use, return the task that was made with it.

        Raises `IdempotencyConflict` if that one asked for something else (`payload["request_id"]` does not count), and
        `SupabaseError`.
        """
        parameters = {
            "p_task_id": str(task_id),
            "p_kind": kind.value,
            "p_payload": clean(dict(payload)),
            "p_source_date": source_date.isoformat() if source_date else None,
            "p_priority": priority,
            "p_delay_seconds": delay.total_seconds(),
            "p_max_attempts": max_attempts,
            "p_callback_url": callback_url,
            "p_idempotency_key": idempotency_key.stored if idempotency_key else None,
            "p_take_over": isinstance(idempotency_key, OwnKey),
        }
        with supabase_errors(f"create task {task_id}"):
            answer = await self._client.rpc("create_task", parameters).execute()
        created = parsed(_CREATED, answer.data)
        if created.outcome == "conflict":
            name = f"The key {idempotency_key.key!r}" if idempotency_key else f"The id {task_id}"
            raise IdempotencyConflict(
                f"{name} belongs to task {created.task.task_id}, which asked for something else: use a new key."
            )
        return created.task

    async def get_task(self, task_id: UUID, *, include_payload: bool = False, include_result: bool = False) -> Task:
        """Read a task. Raises `TaskNotFound`, `SupabaseError`."""
        query = self._client.table(RECORDS).select("*")
        if include_payload or include_result:
            query = self._client.table("tasks").select(*_columns(payload=include_payload, result=include_result))
        with supabase_errors(f"read task {task_id}"):
            answer = await query.eq("task_id", str(task_id)).limit(1).execute()
        found = parsed(_TASKS, answer.data)
        if not found:
            raise _no_task(task_id)
        return found[0]

    async def update_task(self, task_id: UUID, *, lease_token: UUID, message: str, progress: float) -> None:
        """Show how far a running task is: `progress` from 0 to 1.

        Raises `LeaseLost` if the task is not running under this token, and `SupabaseError`.
        """
        parameters = {
            "p_task_id": str(task_id),
            "p_lease_token": str(lease_token),
            "p_message": clean_text(message),
            "p_progress": min(1.0, max(0.0, progress)),
        }
        with supabase_errors(f"report progress of task {task_id}"):
            answer = await self._client.rpc("report_progress", parameters).execute()
        if not parsed(_FLAG, answer.data):
            raise LeaseLost(f"Task {task_id} is no longer this worker's, or has ended: its progress was not recorded.")

    async def list_tasks(
        self,
        *,
        kind: TaskKind | None = None,
        status: TaskStatus | None = None,
        source_date: date | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> TaskPage:
        """List tasks, newest first, up to `limit` (1 to 100) a page.

        Raises `InvalidCursor` for a cursor that no page gave, and `SupabaseError`.
        """
        size = min(max(limit, 1), MAX_PAGE)
        query = self._client.table(RECORDS).select("*")
        for column, wanted in (("kind", kind), ("status", status), ("source_date", source_date)):
            if wanted is not None:
                query = query.eq(column, str(wanted))
        if cursor is not None:
            query = query.or_(_after(cursor))
        query = query.order("created_at", desc=True).order("task_id", desc=True).limit(size + 1)
        with supabase_errors("list tasks"):
            answer = await query.execute()
        found = parsed(_TASKS, answer.data)
        more = len(found) > size
        return TaskPage(tuple(found[:size]), _cursor(found[size - 1]) if more else None)

    async def cancel_task(self, task_id: UUID) -> Task:
        """End a pending task, ask a running one's worker to stop, leave a finished one alone; returns the task.

        Raises `TaskNotFound`, `SupabaseError`.
        """
        with supabase_errors(f"cancel task {task_id}"):
            answer = await self._client.rpc("cancel_task", {"p_task_id": str(task_id)}).execute()
        found = parsed(_CANCELLED, answer.data)
        if found is None:
            raise _no_task(task_id)
        return found.task


def _columns(**wanted: bool) -> list[str]:
    """A task's columns; of those that `wanted` names only the ones that are."""
    return [name for name in Task.model_fields if wanted.get(name, True)]


def _no_task(task_id: UUID) -> TaskNotFound:
    return TaskNotFound(f"There is no task {task_id}: it was never created, or was removed after its retention time.")


def _cursor(task: Task) -> str:
    return base64.urlsafe_b64encode(json.dumps([task.created_at.isoformat(), str(task.task_id)]).encode()).decode()


def _after(cursor: str) -> str:
    """The condition for everything behind a cursor, in PostgREST's words."""
    try:
        created_at, task_id = _CURSOR.validate_json(base64.urlsafe_b64decode(cursor.encode()))
        if abs(created_at.utcoffset() or timedelta()) >= ZONES_END:
            raise ValueError(created_at)
    except ValueError:
        raise InvalidCursor(f"The cursor {cursor[:100]!r} is none that a page gave: begin without one.") from None
    moment = f'"{created_at.isoformat()}"'
    return f"created_at.lt.{moment},and(created_at.eq.{moment},task_id.lt.{task_id})"
