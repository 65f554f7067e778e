"""`/v1/digests`: create a digest, follow its progress, read it, cancel it."""

from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

from app.api.auth import CallerOf
from app.api.digest_pages import DigestPagesOf
from app.api.models import BatchRequest, BatchView, DigestRequest, DigestView, TaskView
from app.api.tasks import (
    BODY_ERRORS,
    COMMON_ERRORS,
    CONFLICT,
    NOT_FOUND,
    QUOTA,
    ServicesOf,
    TaskCreatorOf,
    cancel_task,
    describe,
    finished_digest,
    read_task,
    set_task_headers,
)
from app.api.waiting import EVENT_RESPONSES, EndWaiterOf, HubOf, LastEventId, task_events
from app.models.tasks import TaskKind, TaskStatus

HTML_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "The page"}
}

router = APIRouter(prefix="/v1/digests", tags=["digests"], responses=COMMON_ERRORS)


@router.post("", status_code=HTTPStatus.ACCEPTED, responses=BODY_ERRORS | QUOTA)
async def create_digest(body: DigestRequest, creator: TaskCreatorOf, response: Response) -> TaskView:
    """Create a digest task. If the day has not been fetched yet, the service fetches it first."""
    return describe(response, await creator.create(TaskKind.DIGEST, body.payload, body))


@router.post("/batch", status_code=HTTPStatus.ACCEPTED, responses=BODY_ERRORS | QUOTA)
async def create_digests(body: BatchRequest, creator: TaskCreatorOf) -> BatchView:
    """Create up to 500 digest tasks: all or none. `Idempotency-Key` applies to the whole batch."""
    return BatchView(tasks=[TaskView.of(task) for task in await creator.create_digests(body)])


@router.get("/{task_id}", responses=NOT_FOUND)
async def get_digest(
    task_id: UUID,
    services: ServicesOf,
    caller: CallerOf,
    waiter: EndWaiterOf,
    response: Response,
    include: Annotated[Literal["result"] | None, Query(description="`result` adds the finished digest.")] = None,
) -> DigestView:
    """Get a digest's task, immediately or (`Prefer: wait`) when it has ended."""
    task = await waiter.wait_for_end(await read_task(services, caller, TaskKind.DIGEST, task_id))
    set_task_headers(response, task)
    with_result = include == "result" and task.status is TaskStatus.COMPLETED
    return DigestView.with_digest(task, (await finished_digest(services, task)).read() if with_result else None)


@router.get("/{task_id}/events", response_class=Response, responses=NOT_FOUND | EVENT_RESPONSES)
async def watch_digest(
    task_id: UUID, services: ServicesOf, caller: CallerOf, hub: HubOf, last_event_id: LastEventId = None
) -> Response:
    """Stream a digest's progress: one event for each change, until the task ends."""
    return task_events(hub, await read_task(services, caller, TaskKind.DIGEST, task_id), last_event_id)


@router.get("/{task_id}/html", response_class=HTMLResponse, responses=NOT_FOUND | CONFLICT | HTML_RESPONSE)
async def get_digest_page(task_id: UUID, services: ServicesOf, caller: CallerOf, pages: DigestPagesOf) -> HTMLResponse:
    """Get the completed digest as an HTML page for a browser or a mail."""
    task = await read_task(services, caller, TaskKind.DIGEST, task_id)
    return await pages.response(await finished_digest(services, task))


@router.post("/{task_id}/cancel", status_code=HTTPStatus.ACCEPTED, responses=NOT_FOUND)
async def cancel_digest(task_id: UUID, services: ServicesOf, caller: CallerOf, response: Response) -> TaskView:
    """Cancel a digest: a pending one ends immediately, a running one is stopped; a finished one does not change."""
    return describe(response, await cancel_task(services, caller, TaskKind.DIGEST, task_id))
