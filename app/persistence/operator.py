"""The operator's hand: replay, redeliver, cancel, pause, and who works and who did what. Every act is recorded."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, TypeAdapter
from supabase import AsyncClient

from app.errors import NothingToDo, TaskNotFound
from app.models import Task, TaskKind
from app.persistence.errors import parsed, supabase_errors
from app.persistence.json_values import clean_text
from app.persistence.overview import Overview, Pause, WorkerInfo

STEP = 1000
"""How many dead tasks one call looks at: a fraction of a second, of the 8 that Supabase gives a statement."""

T = TypeVar("T")


class AuditEntry(BaseModel):
    """What an operator did."""

    act_id: UUID
    at: AwareDatetime
    who: str
    act: str
    details: dict[str, Any]


class ReplayStep(BaseModel):
    """What a step of a replay did, and where the next one goes on: behind the id `next`, if there is one."""

    replayed: int
    until: AwareDatetime | None
    next: UUID | None


@dataclass(frozen=True)
class Actor:
    """An act's id, under which it is done once however often it is sent, and who does it."""

    act_id: UUID
    who: str


class _Done(BaseModel):
    task: Task
    done: bool = True


class _Paused(BaseModel):
    pause: Pause | None


_DONE = TypeAdapter(_Done | None)
_PAUSED = TypeAdapter(_Paused)
_PAUSES = TypeAdapter(list[Pause])
_STEP = TypeAdapter(ReplayStep)
_FLEET = TypeAdapter(list[WorkerInfo])
_IDS = TypeAdapter(list[UUID])
_ACTS = TypeAdapter(list[AuditEntry])
_OVERVIEW = TypeAdapter(Overview)


class Operator:
    """Acts on the whole list_worker_rows. Every act may be sent again under its id; all raise `SupabaseError`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def replay(self, by: Actor, task_id: UUID) -> Task:
        """Give a task that failed for good all its attempts anew. Raises `TaskNotFound`, `NothingToDo`."""
        task = await self._act_on("replay_task", by, task_id)
        if not task.done:
            raise NothingToDo(f"Task {task_id} is {task.task.status}: only what failed for good is replayed.")
        return task.task

    async def replay_dead(
        self,
        by: Actor,
        kind: TaskKind,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        after: UUID | None = None,
        step: int = STEP,
    ) -> ReplayStep:
        """Replay what failed for good of a kind, from `since` to before `until` (None: now): the next `step` of them.

        Go on with the answer's `next` as `after` and its `until`: what fails again meanwhile is not replayed twice.
        """
        parameters = {
            "p_kind": kind.value,
            "p_since": since.isoformat() if since else None,
            "p_until": until.isoformat() if until else None,
            "p_after": str(after) if after else None,
            "p_step": step,
        }
        step_by = Actor(uuid5(by.act_id, str(after)), by.who)
        return await self._call(
            "replay_dead_letters", f"replay {kind.value} tasks", _STEP, parameters | _named(step_by)
        )

    async def redeliver(self, by: Actor, task_id: UUID) -> Task:
        """Have a callback delivered again, under its id. Raises `TaskNotFound`, `NothingToDo` while it is delivered."""
        task = await self._act_on("redeliver", by, task_id)
        if not task.done:
            raise NothingToDo(f"The callback {task_id} is being delivered this moment.")
        return task.task

    async def cancel(self, by: Actor, task_id: UUID) -> Task:
        """Cancel anybody's task. Raises `TaskNotFound`."""
        return (await self._act_on("cancel_for_operator", by, task_id)).task

    async def pause(self, by: Actor, kind: TaskKind, reason: str) -> Pause:
        """Have no worker claim tasks of a kind until it is resumed; returns the pause that holds."""
        parameters = _named(by) | {"p_kind": kind.value, "p_reason": clean_text(reason)}
        found = (await self._call("pause_kind", f"pause {kind.value} tasks", _PAUSED, parameters)).pause
        if found is None:
            raise NothingToDo(f"{kind.value} tasks were resumed in the same moment: pause them again.")
        return found

    async def resume(self, by: Actor, kind: TaskKind) -> Pause:
        """End a kind's pause, and return it. Raises `NothingToDo` if there is none."""
        parameters = _named(by) | {"p_kind": kind.value}
        found = (await self._call("resume_kind", f"resume {kind.value} tasks", _PAUSED, parameters)).pause
        if found is None:
            raise NothingToDo(f"{kind.value} tasks are not paused.")
        return found

    async def pauses(self) -> list[Pause]:
        """List the pauses that hold."""
        query = self._client.table("pauses").select("*").is_("ended", "null").order("since")
        with supabase_errors("list pauses"):
            answer = await query.execute()
        return parsed(_PAUSES, answer.data)

    async def workers(self) -> list[WorkerInfo]:
        """List the workers, the last seen first."""
        return await self._call("list_worker_rows", "list workers", _FLEET, {})

    async def overview(self, *, hours: int = 6) -> Overview:
        """Read the whole picture, with what was done in the last `hours` (1 to 168: minutes are kept for a week)."""
        return await self._call("operator_overview", "read the overview", _OVERVIEW, {"p_hours": hours})

    async def orphaned_tasks(self, limit: int = 100) -> list[UUID]:
        """List tasks that have neither an end nor a place in the queue: there can be none."""
        return await self._call("orphaned_tasks", "look for orphaned_tasks", _IDS, {"p_limit": limit})

    async def acts(self, *, before: datetime | None = None, limit: int = 50) -> list[AuditEntry]:
        """List what operators did, newest first: before a moment, if one is given."""
        query = self._client.table("audit").select("act_id,at,who,act,details").order("at", desc=True).limit(limit)
        if before is not None:
            query = query.lt("at", before.isoformat())
        with supabase_errors("read the audit"):
            answer = await query.execute()
        return parsed(_ACTS, answer.data)

    async def _act_on(self, function: str, by: Actor, task_id: UUID) -> _Done:
        parameters = _named(by) | {"p_task_id": str(task_id)}
        found = await self._call(function, f"{function} {task_id}", _DONE, parameters)
        if found is None:
            raise TaskNotFound(f"There is no such task {task_id}: it was never created, or was removed.")
        return found

    async def _call(self, function: str, action: str, adapter: TypeAdapter[T], parameters: dict[str, Any]) -> T:
        with supabase_errors(action):
            answer = await self._client.rpc(function, parameters).execute()
        return parsed(adapter, answer.data)


def _named(by: Actor) -> dict[str, Any]:
    return {"p_act": str(by.act_id), "p_who": by.who}
