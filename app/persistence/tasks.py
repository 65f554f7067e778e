"""Tasks as the API and the handlers see them: created, read, listed, cancelled, and shown to make progress."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from pydantic import BaseModel, TypeAdapter
from supabase import AsyncClient

from app.config import DEFAULT_CALLER, SYSTEM
from app.errors import FetchLimitReached, IdempotencyConflict, LeaseLost, QuotaExceeded, TaskNotFound
from app.models import Task, TaskKind, TaskStatus
from app.persistence.errors import parsed, supabase_errors
from app.persistence.idempotency_keys import CallerKey, OwnKey, daily_key, fetch_key
from app.persistence.json_values import clean_text
from app.persistence.new_task import DEFAULT_ATTEMPTS, NewTask
from app.persistence.paging import cursor_of, read_cursor

RECORDS = "task_records"
"""The view of a task whole, from the record and the queue, without payload and result, which can be large."""

CALLER_FETCH_LIMIT = 10
"""How many days are being fetched for one caller at a time, at most; what more it asks for waits."""
CALLER_FETCH_RETRY = 30.0
"""Seconds until a task beyond that limit asks again."""

MAX_PAGE = 100
MAX_BATCH = 500


class _Cancelled(BaseModel):
    task: Task


class _Created(BaseModel):
    outcome: Literal["created", "existing", "conflict", "quota", "fresh", "busy"]
    created_at: datetime | None = None
    tasks: list[Task] = []
    ordered: int = 0
    retry_after: float = 0.0


_TASKS = TypeAdapter(list[Task])
_CANCELLED = TypeAdapter(_Cancelled | None)
_CREATED = TypeAdapter(_Created)
_FLAG = TypeAdapter(bool)


@dataclass(frozen=True)
class TaskPage:
    """Tasks, newest first, and the cursor of the next page (None: this was the last)."""

    tasks: tuple[Task, ...]
    next_cursor: str | None


class TaskStateManager:
    """Keeps the state of tasks. Every method may be repeated: what was applied once is not applied again."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create_task_with_source_date(  # noqa: PLR0913  (a task's values, each by its name)
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
        owner: str = DEFAULT_CALLER,
        daily_digests: int | None = None,
    ) -> Task:
        """Create a task, ready after `delay`; with a key that is in use, return the task that was made with it.

        Raises `IdempotencyConflict` if the key was used with something else, `QuotaExceeded` if its owner has had
        `daily_digests` of this UTC day, and `SupabaseError`.
        """
        task = NewTask(
            task_id, kind, payload, source_date, priority, delay, max_attempts, callback_url, idempotency_key
        )
        (created,) = await self.create_tasks([task], owner=owner, daily_digests=daily_digests)
        return created

    async def create_tasks(
        self, tasks: Sequence[NewTask], *, owner: str = DEFAULT_CALLER, daily_digests: int | None = None
    ) -> list[Task]:
        """Create up to `MAX_BATCH` tasks, all or none; if an earlier call made them, return them as they are now.

        Their keys are all callers' or all our own; what has a key of our own belongs to the service, not to `owner`.
        A repetition is not counted against `daily_digests`.

        Raises `IdempotencyConflict` if a key or id was used with something else, `QuotaExceeded`, and `SupabaseError`.
        """
        own = isinstance(tasks[0].key, OwnKey)
        parameters = {
            "p_owner": (owner := SYSTEM if own else owner),
            "p_tasks": [task.as_row() for task in tasks],
            "p_replace_ended": own,
            # Only ensure_fetch() asks on behalf of one that waits.
            "p_waiting_task": None,
            "p_daily_digests": daily_digests,
        }
        with supabase_errors(f"create {len(tasks)} task(s), first {tasks[0].task_id}"):
            answer = await self._client.rpc("create_tasks", parameters).execute()
        created = parsed(_CREATED, answer.data)
        if created.outcome == "conflict":
            raise _conflict(tasks[0], created.tasks)
        if created.outcome == "quota":
            raise QuotaExceeded(
                f"{owner} may order {daily_digests} digests a day (UTC) and has ordered {created.ordered}; "
                f"{len(tasks)} more are too many.",
                retry_after=created.retry_after,
            )
        if created.created_at is not None:
            return [task.as_created(owner, created.created_at) for task in tasks]
        return created.tasks

    async def ensure_fetch(
        self, source_date: date, *, waiting: UUID | None = None, due: datetime | None = None, afresh: bool = False
    ) -> Task:
        """Return the service's own fetch of a day; made if there is none, or if the last one failed or was cancelled.

        With `afresh` also if it completed. With `due`, one of `DAILY_FETCH_AT`'s times, the day is looked at again,
        once for that time. Whichever fetch of the day has not ended is as good as another. One that ended after the
        task `waiting` was made, or replayed, is returned as it is: that task waited for it.

        What a caller's task waits for comes after the service's own fetches. Raises `FetchLimitReached` while
        `CALLER_FETCH_LIMIT` days are being fetched for that caller, and `SupabaseError`.
        """
        fetch = _new_fetch(source_date, due)
        return _as_task(fetch, await self._ask_for_fetch(fetch, waiting, afresh=afresh, refresh=False))

    async def refresh_fetch(self, source_date: date, *, waiting: UUID) -> Task | None:
        """Return the fetch that brings a day's incomplete edition up to date, as `ensure_fetch` does.

        None: the edition is complete, or was fetched within the hour and cannot be complete yet. Raises as that.
        """
        fetch = _new_fetch(source_date, None)
        answer = await self._ask_for_fetch(fetch, waiting, afresh=True, refresh=True)
        return None if answer.outcome == "fresh" else _as_task(fetch, answer)

    async def _ask_for_fetch(self, fetch: NewTask, waiting: UUID | None, *, afresh: bool, refresh: bool) -> _Created:
        parameters = {
            "p_source_date": str(fetch.source_date),
            "p_task": fetch.as_row(),
            "p_waiting_task": str(waiting) if waiting else None,
            "p_replace_completed": afresh,
            "p_refresh": refresh,
            "p_caller_limit": CALLER_FETCH_LIMIT,
        }
        with supabase_errors(f"ask for the fetch of {fetch.source_date}"):
            answer = await self._client.rpc("ensure_fetch", parameters).execute()
        created = parsed(_CREATED, answer.data)
        if created.outcome == "busy":
            raise FetchLimitReached(
                f"{CALLER_FETCH_LIMIT} days are being fetched for this caller, {fetch.source_date} comes after them",
                retry_after=CALLER_FETCH_RETRY,
            )
        return created

    async def get_task(self, task_id: UUID, *, owner: str | None = None) -> Task:
        """Read a task of `owner` (None: anybody's). Raises `TaskNotFound`, also for another's, and `SupabaseError`."""
        query = self._client.table(RECORDS).select("*").eq("task_id", str(task_id))
        if owner is not None:
            query = query.eq("owner", owner)
        with supabase_errors(f"read task {task_id}"):
            answer = await query.limit(1).execute()
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
        owner: str | None = None,
        kind: TaskKind | None = None,
        status: TaskStatus | None = None,
        source_date: date | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> TaskPage:
        """List tasks of `owner` (None: everybody's), newest first, up to `limit` (1 to 100) a page.

        Raises `InvalidCursor` for a cursor that no page gave, and `SupabaseError`.
        """
        size = min(max(limit, 1), MAX_PAGE)
        before, before_id = read_cursor(cursor) if cursor is not None else (None, None)
        parameters = {
            "p_owner": owner,
            "p_kind": kind,
            "p_status": status,
            "p_source_date": source_date.isoformat() if source_date else None,
            "p_before": before.isoformat() if before else None,
            "p_before_id": str(before_id) if before_id else None,
            "p_limit": size + 1,
        }
        with supabase_errors("list tasks"):
            answer = await self._client.rpc("list_tasks", parameters).execute()
        found = parsed(_TASKS, answer.data)
        last = found[size - 1] if len(found) > size else None
        return TaskPage(tuple(found[:size]), cursor_of(last.created_at, last.task_id) if last else None)

    async def cancel_task(self, task_id: UUID, *, owner: str | None = None) -> Task:
        """End a pending task, ask a running one's worker to stop, leave a finished one alone; returns the task.

        Raises `TaskNotFound`, also where it is not `owner`'s (None: anybody's), and `SupabaseError`.
        """
        with supabase_errors(f"cancel task {task_id}"):
            answer = await self._client.rpc("cancel_task", {"p_task_id": str(task_id), "p_owner": owner}).execute()
        found = parsed(_CANCELLED, answer.data)
        if found is None:
            raise _no_task(task_id)
        return found.task


def _new_fetch(source_date: date, due: datetime | None) -> NewTask:
    return NewTask(
        task_id=uuid4(),
        kind=TaskKind.FETCH,
        payload={},
        source_date=source_date,
        # Before all else, unless a caller waits for it: the database knows.
        priority=0,
        key=fetch_key(source_date) if due is None else daily_key(due, source_date),
    )


def _as_task(fetch: NewTask, answer: _Created) -> Task:
    return fetch.as_created(SYSTEM, answer.created_at) if answer.created_at is not None else answer.tasks[0]


def _conflict(first: NewTask, known: Sequence[Task]) -> IdempotencyConflict:
    name = f"The key {first.key.key!r}" if first.key else f"The id {first.task_id}"
    return IdempotencyConflict(
        f"{name} belongs to task {known[0].task_id}, which asked for something else: use a new key."
    )


def _no_task(task_id: UUID) -> TaskNotFound:
    return TaskNotFound(f"There is no task {task_id}: it was never created, or was removed after its retention time.")
