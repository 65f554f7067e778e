"""`/v1/admin`: what operators do. Every act is recorded under the caller's name."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import AdminOf, admin_of
from app.api.models import Moment, TaskView
from app.api.tasks import BODY, CONFLICT, EVERYWHERE, FORBIDDEN, NOT_FOUND, ServicesOf, describe
from app.models import TaskKind
from app.persistence.operator import Actor, AuditEntry, ReplayStep
from app.persistence.overview import Overview, Pause, WorkerInfo

MAX_STEPS = 20
"""Of a replay in one request: some seconds at most. The answer says how to go on."""

router = APIRouter(
    prefix="/v1/admin", tags=["admin"], responses=EVERYWHERE | FORBIDDEN, dependencies=[Depends(admin_of)]
)


async def actor_of(admin: AdminOf) -> Actor:
    """The act that a request is: its id is the request's own, so that what is sent on again by the client is known."""
    return Actor(uuid4(), admin.name)


ActOf = Annotated[Actor, Depends(actor_of)]


class ReplayRequest(BaseModel):
    """Which dead tasks are replayed: those of a kind that failed for good in a range of time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: TaskKind
    since: Moment | None = Field(None, description="Failed at this moment or later.")
    until: Moment | None = Field(None, description="Failed before this moment; now, if it is left out.")
    after: UUID | None = Field(None, description="`next` of the answer before.")


class PauseRequest(BaseModel):
    """Why a kind is paused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str = Field(min_length=1, max_length=500, examples=["arXiv is moving"])


class PauseList(BaseModel):
    """The pauses that hold."""

    pauses: list[Pause]


class WorkerList(BaseModel):
    """The list_worker_rows."""

    workers: list[WorkerInfo]


class OrphanedTaskList(BaseModel):
    """Tasks with neither an end nor a place in the queue: a fault of ours, if there are any."""

    task_ids: list[UUID]


class AuditList(BaseModel):
    """What operators did, newest first."""

    acts: list[AuditEntry]


@router.get("/overview")
async def get_overview(
    services: ServicesOf,
    hours: Annotated[int, Query(ge=1, le=168, description="How far `minutes` look back, in at most 120 steps.")] = 6,
) -> Overview:
    """Show the whole picture at one moment: queue, last hours, workers, breakers, sources, failures, mails, readers."""
    return await services.operator.overview(hours=hours)


@router.post("/tasks/{task_id}/replay", status_code=HTTPStatus.ACCEPTED, responses=NOT_FOUND | CONFLICT)
async def replay_task(task_id: UUID, services: ServicesOf, by: ActOf, response: Response) -> TaskView:
    """Give a task that failed for good all its attempts anew; its next end has a callback of its own."""
    task = await services.operator.replay(by, task_id)
    describe(response, task)
    return TaskView.of(task)


@router.post("/replays", responses=BODY)
async def replay_dead(body: ReplayRequest, services: ServicesOf, by: ActOf) -> ReplayStep:
    """Replay all tasks of a kind that failed for good in a range of time, up to 20,000 a request.

    With `next` in the answer there may be more: send it as `after`, with `until`.
    """
    until, after = body.until, body.after
    total = 0
    for _ in range(MAX_STEPS):
        step = await services.operator.replay_dead(by, body.kind, since=body.since, until=until, after=after)
        total, until, after = total + step.replayed, step.until, step.next
        if after is None:
            return ReplayStep(replayed=total, until=until, next=None)
    return ReplayStep(replayed=total, until=until, next=after)


@router.post("/callbacks/{task_id}/redeliver", status_code=HTTPStatus.ACCEPTED, responses=NOT_FOUND | CONFLICT)
async def redeliver_callback(task_id: UUID, services: ServicesOf, by: ActOf, response: Response) -> TaskView:
    """Have a callback delivered again, under the same `webhook-id`."""
    task = await services.operator.redeliver(by, task_id)
    describe(response, task)
    return TaskView.of(task)


@router.post("/kinds/{kind}/pause", responses=BODY | CONFLICT)
async def pause_kind(kind: TaskKind, body: PauseRequest, services: ServicesOf, by: ActOf) -> Pause:
    """Have no worker claim tasks of a kind until it is resumed; what is in hand goes on."""
    return await services.operator.pause(by, kind, body.reason)


@router.post("/kinds/{kind}/resume", responses=CONFLICT)
async def resume_kind(kind: TaskKind, services: ServicesOf, by: ActOf) -> Pause:
    """End a kind's pause."""
    return await services.operator.resume(by, kind)


@router.get("/pauses")
async def list_pauses(services: ServicesOf) -> PauseList:
    """List which kinds are paused, since when, by whom and reason."""
    return PauseList(pauses=await services.operator.pauses())


@router.get("/workers")
async def list_workers(services: ServicesOf) -> WorkerList:
    """List the workers: where they run, what, what they have in hand, when they were last seen."""
    return WorkerList(workers=await services.operator.workers())


@router.get("/orphaned_tasks")
async def list_orphaned_tasks(
    services: ServicesOf, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> OrphanedTaskList:
    """List tasks that have neither an end nor a place in the queue."""
    return OrphanedTaskList(task_ids=await services.operator.orphaned_tasks(limit))


@router.get("/audit")
async def list_audit(
    services: ServicesOf,
    before: Annotated[Moment | None, Query(description="Only what was done before this moment.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> AuditList:
    """List what operators did, newest first."""
    return AuditList(acts=await services.operator.audit_entries(before=before, limit=limit))
