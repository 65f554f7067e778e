"""Tasks for the API and the handlers: create, read, list and cancel them, and report their progress."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from pydantic import BaseModel
from supabase import AsyncClient

from app.config import DEFAULT_CALLER, SYSTEM
from app.errors import FetchLimitReached, LeaseLost, QuotaExceeded, TaskNotFound
from app.models.tasks import Task, TaskKind, TaskStatus
from app.persistence.created_tasks import CreatedTasks
from app.persistence.idempotency_keys import CallerKey, OwnKey, daily_key, fetch_key
from app.persistence.json_values import clean_text
from app.persistence.new_task import DEFAULT_ATTEMPTS, NewTask
from app.persistence.paging import encode_cursor
from app.persistence.repository import Repository
from app.tracing.current import SENT, sending

RECORDS = "task_records"
"""The view that joins a task's record and its queue row, without payload and result, which can be large."""

CALLER_FETCH_LIMIT = 10
"""The most days that are fetched for one caller at a time. Further ones wait."""
CALLER_FETCH_RETRY = 30.0
"""Seconds until a task beyond that limit tries again."""

MAX_BATCH = 500


class _Created(CreatedTasks):
    outcome: Literal["created", "existing", "conflict", "quota", "fresh", "busy"]
    ordered: int = 0
    retry_after: float = 0.0


class _Cancelled(BaseModel):
    task: Task


@dataclass(frozen=True)
class TaskPage:
    """Tasks, newest first, and the cursor of the next page (None on the last page)."""

    tasks: tuple[Task, ...]
    next_cursor: str | None


class TaskStateManager(Repository):
    """Stores the state of tasks. Every method is idempotent."""

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(client)
        # Copied for each read, because building it takes longer than all other work of our code in the call.
        self._all_records = client.table(RECORDS).select("*")

    async def create_task_with_source_date(  # noqa: PLR0913  (the values of a task)
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
        """Create a task, ready after `delay`. If its key is in use, return the task that was created with it.

        Raises `IdempotencyConflict` if the key was used with a different request, `QuotaExceeded` if its owner has
        ordered `daily_digests` on this UTC day, and `SupabaseError`.
        """
        task = NewTask(
            task_id, kind, payload, source_date, priority, delay, max_attempts, callback_url, idempotency_key
        )
        (created,) = await self.create_tasks([task], owner=owner, daily_digests=daily_digests)
        return created

    async def create_tasks(
        self, tasks: Sequence[NewTask], *, owner: str = DEFAULT_CALLER, daily_digests: int | None = None
    ) -> list[Task]:
        """Create up to `MAX_BATCH` tasks, all or none. If an earlier call created them, return their current state.

        Either all keys are callers' or all are the service's own. Tasks with a key of the service's own belong to the
        service, not to `owner`. A repetition does not count against `daily_digests`.

        Raises `IdempotencyConflict` if a key or id was used with a different request, `QuotaExceeded`, and
        `SupabaseError`.
        """
        own = isinstance(tasks[0].key, OwnKey)
        action = f"create {len(tasks)} task(s), first {tasks[0].task_id}"
        rows = [task.as_row() for task in tasks]
        with sending(rows) as span:
            created = await self._call(
                "create_tasks",
                action,
                _Created,
                p_owner=(owner := SYSTEM if own else owner),
                p_tasks=rows,
                p_replace_ended=own,
                p_waiting_task=None,  # only ensure_fetch() has one
                p_daily_digests=daily_digests,
            )
            span.set({SENT: created.outcome})
        if created.outcome == "quota":
            raise QuotaExceeded(
                f"{owner} may order {daily_digests} digests a day (UTC) and has ordered {created.ordered}: "
                f"{len(tasks)} more exceed the limit. Order them after midnight UTC.",
                retry_after=created.retry_after,
            )
        return created.tasks_of(tasks, owner)

    async def ensure_fetch(
        self, source_date: date, *, waiting: UUID | None = None, due: datetime | None = None, refetch: bool = False
    ) -> Task:
        """Return the service's fetch of a day. Create one if there is none, or the last one failed or was cancelled.

        With `refetch`, also create one if the last one completed. With `due`, one of `DAILY_FETCH_AT`'s times, create
        one for that time. Any unfinished fetch of the day is returned instead. So is a fetch that ended after the task
        `waiting` was created or replayed: that task waited for it.

        Fetches for callers run after the service's own ones. Raises `FetchLimitReached` while `CALLER_FETCH_LIMIT` days
        are being fetched for that caller, and `SupabaseError`.
        """
        fetch = _new_fetch(source_date, due)
        return _as_task(fetch, await self._ensure_fetch(fetch, waiting, refetch=refetch, refresh=False))

    async def refresh_fetch(self, source_date: date, *, waiting: UUID) -> Task | None:
        """Return the fetch that updates a day's incomplete edition, as `ensure_fetch` does.

        None: the edition is complete, or was fetched within the last hour and cannot be complete yet. Raises the same
        errors as `ensure_fetch`.
        """
        fetch = _new_fetch(source_date, None)
        created = await self._ensure_fetch(fetch, waiting, refetch=True, refresh=True)
        return None if created.outcome == "fresh" else _as_task(fetch, created)

    async def _ensure_fetch(self, fetch: NewTask, waiting: UUID | None, *, refetch: bool, refresh: bool) -> _Created:
        row = fetch.as_row()
        with sending([row]) as span:
            created = await self._call(
                "ensure_fetch",
                f"ensure the fetch of {fetch.source_date}",
                _Created,
                p_source_date=fetch.source_date,
                p_task=row,
                p_waiting_task=waiting,
                p_replace_completed=refetch,
                p_refresh=refresh,
                p_caller_limit=CALLER_FETCH_LIMIT,
            )
            span.set({SENT: created.outcome})
        if created.outcome == "busy":
            raise FetchLimitReached(
                f"{CALLER_FETCH_LIMIT} days are being fetched for this caller; {fetch.source_date} waits for them",
                retry_after=CALLER_FETCH_RETRY,
            )
        return created

    async def get_task(self, task_id: UUID, *, owner: str | None = None) -> Task:
        """Read a task of `owner` (None: any). Raises `TaskNotFound`, also for another owner's, and `SupabaseError`."""
        query = copy(self._all_records).eq("task_id", str(task_id))
        return await self._one(query, f"read task {task_id}", Task, _task_not_found(task_id), owner=owner)

    async def update_task(self, task_id: UUID, *, lease_token: UUID, message: str, progress: float) -> None:
        """Report the progress of a running task, from 0 to 1.

        Raises `LeaseLost` if the task is not running under this token, and `SupabaseError`.
        """
        recorded = await self._call(
            "report_progress",
            f"report progress of task {task_id}",
            bool,
            p_task_id=task_id,
            p_lease_token=lease_token,
            p_message=clean_text(message),
            p_progress=min(1.0, max(0.0, progress)),
        )
        if not recorded:
            raise LeaseLost(f"Task {task_id} has ended, or its lease has expired: its progress was not recorded.")

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
        """List tasks of `owner` (None: of all), newest first, up to `limit` (1 to 100) a page.

        Raises `InvalidCursor` for a cursor that no page returned, and `SupabaseError`.
        """
        filters = {"p_owner": owner, "p_kind": kind, "p_status": status, "p_source_date": source_date}
        return TaskPage(*await self._page("list_tasks", "list tasks", Task, _cursor, limit, cursor, **filters))

    async def cancel_task(self, task_id: UUID, *, owner: str | None = None) -> Task:
        """Cancel a pending task, request a running one's cancellation, leave a finished one unchanged; return the task.

        Raises `TaskNotFound`, also if another owner than `owner` (None: any) has it, and `SupabaseError`.
        """
        action, missing = f"cancel task {task_id}", _task_not_found(task_id)
        return (await self._found("cancel_task", action, _Cancelled, missing, p_task_id=task_id, p_owner=owner)).task


def _cursor(task: Task) -> str:
    return encode_cursor(task.created_at, task.task_id)


def _new_fetch(source_date: date, due: datetime | None) -> NewTask:
    return NewTask(
        task_id=uuid4(),
        kind=TaskKind.FETCH,
        payload={},
        source_date=source_date,
        # First of all tasks, except when a caller waits for it: the database changes the priority then.
        priority=0,
        key=fetch_key(source_date) if due is None else daily_key(due, source_date),
    )


def _as_task(fetch: NewTask, created: _Created) -> Task:
    return fetch.as_created(SYSTEM, created.created_at) if created.created_at is not None else created.tasks[0]


def _task_not_found(task_id: UUID) -> TaskNotFound:
    return TaskNotFound(f"There is no task {task_id}: it was never created, or was removed after its retention time.")
