"""Operators' actions (replay, redeliver, cancel, pause) and lists of workers and audit entries. Actions are audited."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, Field

from app.errors import NothingToDo, TaskNotFound
from app.models.tasks import Task, TaskKind
from app.persistence.json_values import clean_text
from app.persistence.overview import Overview, Pause, WorkerInfo
from app.persistence.paging import decode_cursor, encode_cursor, first_page
from app.persistence.repository import Repository

STEP = 1000
"""Dead tasks per replay call: a fraction of a second, well under Supabase's statement timeout of 8 s."""

MAX_GROUPS = 50
"""The most groups of failures in a list."""

ORPHAN_SCAN = 10_000
"""Tasks that a page of orphaned tasks covers: as many random reads as a small disk makes in a few seconds."""


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


class OrphanedTaskPage(BaseModel):
    """Ids of orphaned tasks, and the id after which the next page begins (None on the last page)."""

    task_ids: tuple[UUID, ...]
    next: UUID | None


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


class Operator(Repository):
    """Actions on all workers and tasks. Each may be repeated under its audit id. All methods raise `SupabaseError`."""

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
        return await self._call(
            "replay_dead_letters",
            f"replay {kind.value} tasks",
            ReplayStep,
            p_kind=kind.value,
            p_cause=cause,
            p_since=since,
            p_until=until,
            p_after=after,
            p_step=step,
            **_actor_parameters(Actor(uuid5(by.audit_id, str(after)), by.name)),
        )

    async def failure_groups(self, *, limit: int = MAX_GROUPS) -> list[FailureGroup]:
        """List the permanently failed tasks by kind and cause, the group with the newest failure first."""
        return await self._call("failure_groups", "group the failed tasks", list[FailureGroup], p_limit=limit)

    async def discard(
        self, by: Actor, kind: TaskKind, cause: str, *, until: datetime | None = None, step: int = STEP
    ) -> DiscardStep:
        """Discard up to `step` permanently failed tasks of a cause, failed before `until` (None: now).

        They stay failed, and are no longer listed or replayed. To continue, pass the result's `until` and another id.
        """
        return await self._call(
            "discard_dead_letters",
            f"discard {kind.value} tasks",
            DiscardStep,
            p_kind=kind.value,
            p_cause=cause,
            p_until=until,
            p_step=step,
            **_actor_parameters(by),
        )

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
        parameters = {"p_kind": kind.value, "p_reason": clean_text(reason), **_actor_parameters(by)}
        found = await self._call("pause_kind", f"pause {kind.value} tasks", _Paused, **parameters)
        if found.pause is None:
            raise NothingToDo(f"{kind.value} tasks were resumed at the same time: pause them again.")
        return found.pause

    async def resume(self, by: Actor, kind: TaskKind) -> Pause:
        """End a kind's pause, and return it. Raises `NothingToDo` if there is none."""
        action, parameters = f"resume {kind.value} tasks", {"p_kind": kind.value, **_actor_parameters(by)}
        found = await self._call("resume_kind", action, _Paused, **parameters)
        if found.pause is None:
            raise NothingToDo(f"{kind.value} tasks are not paused.")
        return found.pause

    async def pauses(self) -> list[Pause]:
        """List the active pauses."""
        query = self._client.table("pauses").select("*").is_("ended_at", "null").order("started_at")
        return await self._rows(query, "list pauses", Pause)

    async def workers(self) -> list[WorkerInfo]:
        """List the workers, most recently seen first."""
        return await self._call("list_worker_rows", "list workers", list[WorkerInfo])

    async def overview(self, *, hours: int = 6) -> Overview:
        """Read the overview, with the statistics of the last `hours` (1 to 168: they are kept for a week)."""
        return await self._call("operator_overview", "read the overview", Overview, p_hours=hours)

    async def orphaned_tasks(self, *, after: UUID | None = None, limit: int = 50) -> OrphanedTaskPage:
        """List unfinished tasks without a row in the queue, ordered by id. There should never be any.

        A page covers `ORPHAN_SCAN` tasks, so it can be empty and have a `next`.
        """
        place = {"p_after": after, "p_limit": limit, "p_scan": ORPHAN_SCAN}
        return await self._call("orphaned_tasks", "find orphaned tasks", OrphanedTaskPage, **place)

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
        return AuditPage(*first_page(await self._rows(query, "read the audit", AuditEntry), limit, _cursor))

    async def _change_task(self, function: str, by: Actor, task_id: UUID) -> _Done:
        missing = TaskNotFound(f"There is no such task {task_id}: it was never created, or was removed.")
        parameters = {"p_task_id": task_id, **_actor_parameters(by)}
        return await self._found(function, f"{function} {task_id}", _Done, missing, **parameters)


def _cursor(entry: AuditEntry) -> str:
    return encode_cursor(entry.created_at, entry.audit_id)


def _actor_parameters(by: Actor) -> dict[str, Any]:
    return {"p_audit_id": by.audit_id, "p_actor": by.name}
