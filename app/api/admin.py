"""`/v1/admin`: the operators' actions. The audit records each of them under the caller's name."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from app.api.auth import AdminOf, require_admin
from app.api.models import Moment, RequestBody, TaskView
from app.api.paging import BAD_CURSOR, CURSOR, NEXT_CURSOR, Cursor, Limit, NextCursor
from app.api.tasks import BODY_ERRORS, COMMON_ERRORS, CONFLICT, FORBIDDEN, NOT_FOUND, ServicesOf, describe
from app.conditions.report import HealthReport, observe, report_of
from app.models.tasks import TaskKind
from app.persistence.operator import STEP, Actor, AuditEntry, FailureGroup
from app.persistence.overview import Overview, Pause, WorkerInfo

MAX_STEPS = 20
"""Steps of a replay in one request: it takes a few seconds at most. `next_cursor` continues it."""

router = APIRouter(
    prefix="/v1/admin", tags=["admin"], responses=COMMON_ERRORS | FORBIDDEN, dependencies=[Depends(require_admin)]
)


async def get_actor(admin: AdminOf) -> Actor:
    """Return the audit's actor of this request. Its id stays the same when the Supabase client repeats a call."""
    return Actor(uuid4(), admin.name)


ActorOf = Annotated[Actor, Depends(get_actor)]


class ReplayRequest(RequestBody):
    """Selects the dead-letter tasks to replay: one kind, failed in a time range."""

    kind: TaskKind
    cause: str | None = Field(None, max_length=300, description="`cause` of a group of failures; null: all.")
    since: Moment | None = Field(None, description="Failed at this time or later.")
    until: Moment | None = Field(None, description="Failed before this time; default: now.")
    cursor: UUID | None = Field(None, description="`next_cursor` of the previous response.")


class ReplayView(BaseModel):
    """The outcome of one replay request."""

    replayed: int = Field(description="Number of replayed tasks.")
    until: datetime | None = Field(description="Send it with `next_cursor`: later failures are not replayed twice.")
    next_cursor: UUID | None = Field(description="Send it as `cursor` to continue; null when all are replayed.")


class DiscardRequest(RequestBody):
    """Selects a group of failures to discard."""

    kind: TaskKind
    cause: str = Field(max_length=300, description="`cause` of the group.")


class DiscardView(BaseModel):
    """The outcome of a discard request."""

    discarded: int = Field(description="Number of discarded tasks. If it is 20,000, repeat the request.")


class FailureList(BaseModel):
    """Groups of permanently failed tasks, the group with the newest failure first."""

    groups: list[FailureGroup]


class PauseRequest(RequestBody):
    """The reason for pausing a kind of task."""

    reason: str = Field(min_length=1, max_length=500, examples=["arXiv is moving"])


class PauseList(BaseModel):
    """The current pauses."""

    pauses: list[Pause]


class WorkerList(BaseModel):
    """All workers."""

    workers: list[WorkerInfo]


class OrphanedTaskList(BaseModel):
    """A page of unfinished tasks without a queue entry, ordered by id: each one is a bug of Broadsheet."""

    task_ids: list[UUID]
    next_cursor: UUID | None = Field(description=NEXT_CURSOR)


class AuditList(BaseModel):
    """A page of audit entries, newest first."""

    entries: list[AuditEntry]
    next_cursor: NextCursor


@router.get("/health")
async def get_health(services: ServicesOf) -> HealthReport:
    """Get what is wrong, most serious first, each with what to do. The status is 200 also while something is wrong."""
    return report_of(await observe(services.health.facts))


@router.get("/overview")
async def get_overview(
    services: ServicesOf,
    hours: Annotated[int, Query(ge=1, le=168, description="Hours that `task_stats` covers, in at most 120 steps.")] = 6,
) -> Overview:
    """Get a consistent overview: queue, last hours, workers, circuit breakers, sources, failures, mails, readers."""
    return await services.operator.overview(hours=hours)


@router.post("/tasks/{task_id}/replay", status_code=HTTPStatus.ACCEPTED, responses=NOT_FOUND | CONFLICT)
async def replay_task(task_id: UUID, services: ServicesOf, by: ActorOf, response: Response) -> TaskView:
    """Retry a dead-letter task with all its attempts; when it ends, a new callback is sent."""
    return describe(response, await services.operator.replay(by, task_id))


@router.post("/replays", responses=BODY_ERRORS)
async def replay_failed_tasks(body: ReplayRequest, services: ServicesOf, by: ActorOf) -> ReplayView:
    """Replay all dead-letter tasks of a kind that failed in a time range, up to 20,000 per request.

    If the response has a `next_cursor`, more tasks may remain: repeat the request with it as `cursor`, and `until`.
    """
    until, after = body.until, body.cursor
    total = 0
    for _ in range(MAX_STEPS):
        step = await services.operator.replay_dead(
            by, body.kind, cause=body.cause, since=body.since, until=until, after=after
        )
        total, until, after = total + step.replayed, step.until, step.next
        if after is None:
            break
    return ReplayView(replayed=total, until=until, next_cursor=after)


@router.get("/failures")
async def list_failures(services: ServicesOf) -> FailureList:
    """List permanently failed tasks in groups of one kind and cause: the error without numbers, ids and addresses."""
    return FailureList(groups=await services.operator.failure_groups())


@router.post("/discards", responses=BODY_ERRORS)
async def discard_failed_tasks(body: DiscardRequest, services: ServicesOf, by: ActorOf) -> DiscardView:
    """Discard a group of failures, up to 20,000: the tasks stay failed, and are no longer listed or replayed."""
    total, until = 0, None
    for number in range(MAX_STEPS):
        step_by = Actor(uuid5(by.audit_id, str(number)), by.name)
        step = await services.operator.discard(step_by, body.kind, body.cause, until=until)
        total, until = total + step.discarded, step.until
        if step.discarded < STEP:
            break
    return DiscardView(discarded=total)


@router.post("/callbacks/{task_id}/redeliver", status_code=HTTPStatus.ACCEPTED, responses=NOT_FOUND | CONFLICT)
async def redeliver_callback(task_id: UUID, services: ServicesOf, by: ActorOf, response: Response) -> TaskView:
    """Deliver a callback again, with the same `webhook-id`."""
    return describe(response, await services.operator.redeliver(by, task_id))


@router.post("/kinds/{kind}/pause", responses=BODY_ERRORS | CONFLICT)
async def pause_kind(kind: TaskKind, body: PauseRequest, services: ServicesOf, by: ActorOf) -> Pause:
    """Pause a kind: workers claim no tasks of it until it is resumed; running tasks continue."""
    return await services.operator.pause(by, kind, body.reason)


@router.post("/kinds/{kind}/resume", responses=CONFLICT)
async def resume_kind(kind: TaskKind, services: ServicesOf, by: ActorOf) -> Pause:
    """Resume a paused kind."""
    return await services.operator.resume(by, kind)


@router.get("/pauses")
async def list_pauses(services: ServicesOf) -> PauseList:
    """List the paused kinds, with the time, the operator and the reason."""
    return PauseList(pauses=await services.operator.pauses())


@router.get("/workers")
async def list_workers(services: ServicesOf) -> WorkerList:
    """List the workers: host, version, running tasks and last heartbeat."""
    return WorkerList(workers=await services.operator.workers())


@router.get("/orphaned_tasks")
async def list_orphaned_tasks(
    services: ServicesOf, limit: Limit = 50, cursor: Annotated[UUID | None, Query(description=CURSOR)] = None
) -> OrphanedTaskList:
    """List unfinished tasks that have no queue entry, ordered by id.

    A page covers 10,000 tasks. It is usually empty; follow `next_cursor` until it is null to check all tasks.
    """
    found = await services.operator.orphaned_tasks(after=cursor, limit=limit)
    return OrphanedTaskList(task_ids=list(found.task_ids), next_cursor=found.next)


@router.get("/audit", responses=BAD_CURSOR)
async def list_audit(
    services: ServicesOf,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> AuditList:
    """List the actions of operators, newest first."""
    page = await services.operator.audit_entries(limit=limit, cursor=cursor)
    return AuditList(entries=list(page.entries), next_cursor=page.next_cursor)
