"""`/v1/digests`: ask for a digest, follow it, read it, cancel it."""

from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

from app.api.auth import CallerOf
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
from app.api.waiting import EVENTS, EndWaiterOf, HubOf, LastEventId, task_events
from app.models import TaskKind, TaskStatus

PAGE_HEADERS = {
    # The page has inlined styles and nothing else: whatever slipped through could do nothing.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
HTML_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "The page"}
}

router = APIRouter(prefix="/v1/digests", tags=["digests"], responses=COMMON_ERRORS)


@router.post("", status_code=HTTPStatus.ACCEPTED, responses=BODY_ERRORS | QUOTA)
async def create_digest(body: DigestRequest, creator: TaskCreatorOf, response: Response) -> TaskView:
    """Ask for a digest. A day that nobody has fetched yet is fetched first."""
    return describe(response, await creator.create(TaskKind.DIGEST, body.payload, body))


@router.post("/batch", status_code=HTTPStatus.ACCEPTED, responses=BODY_ERRORS | QUOTA)
async def create_digests(body: BatchRequest, creator: TaskCreatorOf) -> BatchView:
    """Ask for up to 500 digests at once: all or none, and `Idempotency-Key` counts for the whole."""
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
    """Say how far a digest is, at once or when it has ended."""
    task = await waiter.wait_for_end(await read_task(services, caller, TaskKind.DIGEST, task_id))
    set_task_headers(response, task)
    wanted = include == "result" and task.status is TaskStatus.COMPLETED
    return DigestView.with_digest(task, (await finished_digest(services, task)).digest if wanted else None)


@router.get("/{task_id}/events", response_class=Response, responses=NOT_FOUND | EVENTS)
async def watch_digest(
    task_id: UUID, services: ServicesOf, caller: CallerOf, hub: HubOf, last_event_id: LastEventId = None
) -> Response:
    """Follow a digest: an event for each new state, until its end."""
    return task_events(hub, await read_task(services, caller, TaskKind.DIGEST, task_id), last_event_id)


@router.get("/{task_id}/html", response_class=HTMLResponse, responses=NOT_FOUND | CONFLICT | HTML_ANSWER)
async def get_digest_page(task_id: UUID, services: ServicesOf, caller: CallerOf) -> HTMLResponse:
    """Read the finished digest as a page for a browser or a mail."""
    task = await read_task(services, caller, TaskKind.DIGEST, task_id)
    return HTMLResponse((await finished_digest(services, task)).page, headers=PAGE_HEADERS)


@router.post("/{task_id}/cancel", status_code=HTTPStatus.ACCEPTED, responses=NOT_FOUND)
async def cancel_digest(task_id: UUID, services: ServicesOf, caller: CallerOf, response: Response) -> TaskView:
    """End a pending digest at once, ask for a running one to be stopped; a finished one stays as it is."""
    return describe(response, await cancel_task(services, caller, TaskKind.DIGEST, task_id))
