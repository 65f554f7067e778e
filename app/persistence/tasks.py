"""Tasks as the API and the handlers see them: created, read, listed, cancelled, and shown to make progress."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import AfterValidator, AwareDatetime, BaseModel, TypeAdapter, ValidationError
from supabase import AsyncClient

from app.errors import IdempotencyConflict, InvalidCursor, LeaseLost, TaskNotFound
from app.models import Task, TaskKind, TaskStatus
from app.persistence.errors import parsed, supabase_errors
from app.persistence.json_values import clean, clean_text
from app.persistence.paging import read_on

RECORDS = "task_records"
"""The view of everything but payload and result, which can be large: a poll never reads them unless asked."""

MAX_PAGE = 100
DEFAULT_ATTEMPTS = 5


class _Cancelled(BaseModel):
    task: Task


class _Created(BaseModel):
    outcome: Literal["created", "existing", "conflict"]
    task: Task


def _in_utc(moment: datetime) -> datetime:
    # Python knows zones that PostgreSQL does not (of 16 hours and more); those of our cursors are all UTC.
    if moment.utcoffset() != timedelta(0):
        raise ValueError("not UTC")
    return moment


_TASKS = TypeAdapter(list[Task])
_CANCELLED = TypeAdapter(_Cancelled | None)
_CREATED = TypeAdapter(_Created)
_FLAG = TypeAdapter(bool)
_CURSOR = TypeAdapter(tuple[Annotated[AwareDatetime, AfterValidator(_in_utc)], UUID])


@dataclass(frozen=True)
class CallerKey:
    """An idempotency key that an API caller chose, and what they sent with it.

    A repetition is compared by that, not by what was made of it: a day that is left out is another one tomorrow. With
    None it is compared by the task's own values; `payload["request_id"]` does not count among them.
    """

    key: str
    sent: dict[str, Any] | None = None

    @property
    def stored(self) -> str:
        """The key as it lies in the table; the prefix keeps callers away from the service's own."""
        return f"caller:{self.key}"


@dataclass(frozen=True)
class OwnKey:
    """A key of the service's own, such as `fetch:2026-11-22`; it passes on when its task failed or was cancelled.

    It does not pass to a task for which another one has been `waiting` since before that: the one that failed is its
    answer.
    """

    key: str
    waiting: UUID | None = None

    @property
    def stored(self) -> str:
        """The key as it lies in the table."""
        return f"own:{self.key}"


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

        Raises `IdempotencyConflict` if a caller's key was used with something else, and `SupabaseError`.
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
            **_keyed(idempotency_key),
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

    async def ensure_fetch(self, source_date: date, *, waiting: UUID | None = None) -> Task:
        """Return the service's own fetch of a day; made if there is none, or if the last one failed or was cancelled.

        A fetch that ended so after the task `waiting` was made is returned as it is: that task waited for it. Fetches
        that callers posted are theirs, and count for nobody else. Raises `SupabaseError`.
        """
        return await self.create_task_with_source_date(
            task_id=uuid4(),
            kind=TaskKind.FETCH,
            payload={},
            source_date=source_date,
            # Somebody waits for it, or soon will: before the fetches that callers post.
            priority=0,
            idempotency_key=OwnKey(f"fetch:{source_date.isoformat()}", waiting),
        )

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
        wanted = {"kind": kind, "status": status, "source_date": source_date}

        async def read(found: Sequence[Task]) -> list[Task]:
            query = self._client.table(RECORDS).select("*")
            for column, value in wanted.items():
                if value is not None:
                    query = query.eq(column, str(value))
            if found:
                query = query.or_(_behind(found[-1].created_at, found[-1].task_id))
            elif cursor is not None:
                query = query.or_(_behind(*_parsed_cursor(cursor)))
            query = query.order("created_at", desc=True).order("task_id", desc=True).limit(size + 1 - len(found))
            with supabase_errors("list tasks"):
                answer = await query.execute()
            return parsed(_TASKS, answer.data)

        found = await read_on(read, size + 1)
        return TaskPage(tuple(found[:size]), _cursor(found[size - 1]) if len(found) > size else None)

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


def _keyed(key: CallerKey | OwnKey | None) -> dict[str, Any]:
    """What create_task() is told of a key."""
    sent = key.sent if isinstance(key, CallerKey) else None
    waiting = key.waiting if isinstance(key, OwnKey) else None
    return {
        "p_idempotency_key": key.stored if key else None,
        "p_request": clean(sent),
        "p_take_over": isinstance(key, OwnKey),
        "p_waiting": str(waiting) if waiting else None,
    }


def _columns(**wanted: bool) -> list[str]:
    """A task's columns; of those that `wanted` names only the ones that are."""
    return [name for name in Task.model_fields if wanted.get(name, True)]


def _no_task(task_id: UUID) -> TaskNotFound:
    return TaskNotFound(f"There is no task {task_id}: it was never created, or was removed after its retention time.")


def _cursor(task: Task) -> str:
    moment = task.created_at.astimezone(UTC).isoformat()
    return base64.urlsafe_b64encode(json.dumps([moment, str(task.task_id)]).encode()).decode()


def _parsed_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        return _CURSOR.validate_json(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, ValidationError):
        raise InvalidCursor(f"The cursor {cursor[:100]!r} is none that a page gave: begin without one.") from None


def _behind(created_at: datetime, task_id: UUID) -> str:
    """The condition for everything behind a task in the list, in PostgREST's words."""
    moment = f'"{created_at.isoformat()}"'
    return f"created_at.lt.{moment},and(created_at.eq.{moment},task_id.lt.{task_id})"
