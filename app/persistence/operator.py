"""Operators' actions (replay, redeliver, cancel, pause) and lists of workers and audit entries. Actions are audited."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter
from supabase import AsyncClient

from app.errors import NothingToDo, TaskNotFound
from app.models.tasks import Task, TaskKind
from app.persistence.errors import parsed, supabase_errors
from app.persistence.json_values import clean_text
from app.persistence.overview import Overview, Pause, WorkerInfo
from app.persistence.paging import decode_cursor, encode_cursor

STEP = 1000
"""Dead tasks per replay call: a fraction of a second, well under Supabase's statement timeout of 8 s."""

MAX_GROUPS = 50
"""The most groups of failures in a list."""

T = TypeVar("T")


class AuditEntry(BaseModel):
    """One action of an operator."""

    audit_id: UUID
    created_at: AwareDatetime
    actor: str = Field(description="The name of the admin.")
    action: str = Field(examples=["replay"])
    details: dict[str, Any]


class AuditPage(NamedTuple):
    """Operators' actions, newest first, and the cursor of the next page (None on the last page)."""

    entries: tuple[AuditEntry, ...]
    next_cursor: str | None


class ReplayStep(BaseModel):
    """The result of one step of a replay. The next step starts after the id `next`; None: this was the last step."""

    replayed: int
    until: AwareDatetime | None
    next: UUID | None


class DiscardStep(BaseModel):
    """The result of one step of a discard: fewer than a full step means that none is left."""

    discarded: int
    until: AwareDatetime


class FailureHour(BaseModel):
    """The permanent failures of one hour."""

    at: AwareDatetime
    tasks: int


class FailureGroup(BaseModel):
    """Permanently failed tasks of one kind and cause: their error without numbers, ids and addresses."""

    kind: str
    cause: str
    tasks: int
    first_at: AwareDatetime = Field(description="Time of the first failure.")
    last_at: AwareDatetime = Field(description="Time of the last failure.")
    example: str | None = Field(description="The error of one of the tasks.")
    hours: list[FailureHour] = Field(description="Failures of the last 24 hours; hours without any are omitted.")


@dataclass(frozen=True)
class Actor:
    """Who acts, and the id of the audit entry: the action is applied once, however often the call is repeated."""

    audit_id: UUID
    name: str


class _Done(BaseModel):
    task: Task
    done: bool = True


class _Paused(BaseModel):
    pause: Pause | None


_DONE = TypeAdapter(_Done | None)
_PAUSED = TypeAdapter(_Paused)
_PAUSES = TypeAdapter(list[Pause])
_STEP = TypeAdapter(ReplayStep)
_DISCARDED = TypeAdapter(DiscardStep)
_GROUPS = TypeAdapter(list[FailureGroup])
_WORKERS = TypeAdapter(list[WorkerInfo])
_IDS = TypeAdapter(list[UUID])
_AUDIT = TypeAdapter(list[AuditEntry])
_OVERVIEW = TypeAdapter(Overview)


class Operator:
    """Actions on all workers and tasks. Each may be repeated under its audit id. All methods raise `SupabaseError`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def replay(self, by: Actor, task_id: UUID) -> Task:
        """Retry a permanently failed task with all its attempts. Raises `TaskNotFound`, `NothingToDo`."""
        task = await self._change_task("replay_task", by, task_id)
        if not task.done:
            raise NothingToDo(f"Task {task_id} is {task.task.status}: only permanently failed tasks can be replayed.")
        return task.task

    async def replay_dead(
        self,
        by: Actor,
        kind: TaskKind,
        *,
        cause: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: UUID | None = None,
        step: int = STEP,
    ) -> ReplayStep:
        """Replay up to `step` permanently failed tasks of a kind, and of one `cause` unless it is None.

        Only those count that failed from `since` to before `until` (None: now). To continue, pass the result's `next`
        as `after`, and its `until`: a task that fails again meanwhile is then not replayed twice.
        """
        parameters = {
            "p_kind": kind.value,
            "p_cause": cause,
            "p_since": since.isoformat() if since else None,
            "p_until": until.isoformat() if until else None,
            "p_after": str(after) if after else None,
            "p_step": step,
        }
        step_by = Actor(uuid5(by.audit_id, str(after)), by.name)
        parameters |= _actor_parameters(step_by)
        return await self._call("replay_dead_letters", f"replay {kind.value} tasks", _STEP, parameters)

    async def failure_groups(self, *, limit: int = MAX_GROUPS) -> list[FailureGroup]:
        """List the permanently failed tasks by kind and cause, the group with the newest failure first."""
        return await self._call("failure_groups", "group the failed tasks", _GROUPS, {"p_limit": limit})

    async def discard(
        self, by: Actor, kind: TaskKind, cause: str, *, until: datetime | None = None, step: int = STEP
    ) -> DiscardStep:
        """Discard up to `step` permanently failed tasks of a cause, failed before `until` (None: now).

        They stay failed, and are no longer listed or replayed. To continue, pass the result's `until` and another id.
        """
        parameters = _actor_parameters(by) | {
            "p_kind": kind.value,
            "p_cause": cause,
            "p_until": until.isoformat() if until else None,
            "p_step": step,
        }
        return await self._call("discard_dead_letters", f"discard {kind.value} tasks", _DISCARDED, parameters)

    async def redeliver(self, by: Actor, task_id: UUID) -> Task:
        """Deliver a callback again under the same id. Raises `TaskNotFound`, `NothingToDo` during a delivery."""
        task = await self._change_task("redeliver", by, task_id)
        if not task.done:
            raise NothingToDo(f"The callback {task_id} is being delivered now. Try again when that attempt has ended.")
        return task.task

    async def cancel(self, by: Actor, task_id: UUID) -> Task:
        """Cancel a task of any owner. Raises `TaskNotFound`."""
        return (await self._change_task("cancel_for_operator", by, task_id)).task

    async def pause(self, by: Actor, kind: TaskKind, reason: str) -> Pause:
        """Pause a kind: no worker claims its tasks until `resume`. Returns the active pause."""
        parameters = _actor_parameters(by) | {"p_kind": kind.value, "p_reason": clean_text(reason)}
        found = (await self._call("pause_kind", f"pause {kind.value} tasks", _PAUSED, parameters)).pause
        if found is None:
            raise NothingToDo(f"{kind.value} tasks were resumed at the same time: pause them again.")
        return found

    async def resume(self, by: Actor, kind: TaskKind) -> Pause:
        """End a kind's pause, and return it. Raises `NothingToDo` if there is none."""
        parameters = _actor_parameters(by) | {"p_kind": kind.value}
        found = (await self._call("resume_kind", f"resume {kind.value} tasks", _PAUSED, parameters)).pause
        if found is None:
            raise NothingToDo(f"{kind.value} tasks are not paused.")
        return found

    async def pauses(self) -> list[Pause]:
        """List the active pauses."""
        query = self._client.table("pauses").select("*").is_("ended_at", "null").order("started_at")
        with supabase_errors("list pauses"):
            response = await query.execute()
        return parsed(_PAUSES, response.data)

    async def workers(self) -> list[WorkerInfo]:
        """List the workers, most recently seen first."""
        return await self._call("list_worker_rows", "list workers", _WORKERS, {})

    async def overview(self, *, hours: int = 6) -> Overview:
        """Read the overview, with the statistics of the last `hours` (1 to 168: they are kept for a week)."""
        return await self._call("operator_overview", "read the overview", _OVERVIEW, {"p_hours": hours})

    async def orphaned_tasks(self, *, after: UUID | None = None, limit: int = 50) -> list[UUID]:
        """List unfinished tasks without a row in the queue, ordered by id. There should never be any."""
        parameters = {"p_after": str(after) if after else None, "p_limit": limit}
        return await self._call("orphaned_tasks", "find orphaned tasks", _IDS, parameters)

    async def audit_entries(self, *, limit: int = 50, cursor: str | None = None) -> AuditPage:
        """List operators' actions, newest first, `limit` a page. Raises `InvalidCursor` for a cursor of no page."""
        query = (
            self._client.table("audit")
            .select("audit_id,created_at,actor,action,details")
            .order("created_at", desc=True)
            .order("audit_id", desc=True)
            .limit(limit + 1)
        )
        if cursor is not None:
            created_at, audit_id = decode_cursor(cursor)
            at = f'"{created_at.isoformat()}"'  # PostgREST needs quotes around a value with a dot or a colon.
            query = query.or_(f"created_at.lt.{at},and(created_at.eq.{at},audit_id.lt.{audit_id})")
        with supabase_errors("read the audit"):
            response = await query.execute()
        entries = parsed(_AUDIT, response.data)
        last = entries[limit - 1] if len(entries) > limit else None
        return AuditPage(tuple(entries[:limit]), encode_cursor(last.created_at, last.audit_id) if last else None)

    async def _change_task(self, function: str, by: Actor, task_id: UUID) -> _Done:
        parameters = _actor_parameters(by) | {"p_task_id": str(task_id)}
        found = await self._call(function, f"{function} {task_id}", _DONE, parameters)
        if found is None:
            raise TaskNotFound(f"There is no such task {task_id}: it was never created, or was removed.")
        return found

    async def _call(self, function: str, action: str, adapter: TypeAdapter[T], parameters: dict[str, Any]) -> T:
        with supabase_errors(action):
            response = await self._client.rpc(function, parameters).execute()
        return parsed(adapter, response.data)


def _actor_parameters(by: Actor) -> dict[str, Any]:
    return {"p_audit_id": str(by.audit_id), "p_actor": by.name}
