"""`/v1/fetches`: fetch a day, follow the progress, cancel the request."""

from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter, Response

from app.api.auth import CallerOf
from app.api.models import FetchRequest, TaskView
from app.api.tasks import (
    BODY_ERRORS,
    COMMON_ERRORS,
    NOT_FOUND,
    ServicesOf,
    TaskCreatorOf,
    cancel_task,
    describe,
    read_task,
)
from app.api.waiting import EVENT_RESPONSES, EndWaiterOf, HubOf, LastEventId, task_events
from app.models.tasks import TaskKind

router = APIRouter(prefix="/v1/fetches", tags=["fetches"], responses=COMMON_ERRORS)


@router.post("", status_code=HTTPStatus.ACCEPTED, responses=BODY_ERRORS)
async def create_fetch(body: FetchRequest, creator: TaskCreatorOf, response: Response) -> TaskView:
    """Create a task that fetches a day's papers and news. The task waits for the service's shared fetch of that day.

    It joins a fetch in progress, or starts one. Fetching a day twice is harmless.
    """
    return describe(response, await creator.create(TaskKind.FETCH, {"shared": True}, body))


@router.get("/{task_id}", responses=NOT_FOUND)
async def get_fetch(
    task_id: UUID, services: ServicesOf, caller: CallerOf, waiter: EndWaiterOf, response: Response
) -> TaskView:
    """Get a fetch's task, immediately or (`Prefer: wait`) when it has ended."""
    return describe(response, await waiter.wait_for_end(await read_task(services, caller, TaskKind.FETCH, task_id)))


@router.get("/{task_id}/events", response_class=Response, responses=NOT_FOUND | EVENT_RESPONSES)
async def watch_fetch(
    task_id: UUID, services: ServicesOf, caller: CallerOf, hub: HubOf, last_event_id: LastEventId = None
) -> Response:
    """Stream a fetch's progress: one event for each change, until the task ends."""
    return task_events(hub, await read_task(services, caller, TaskKind.FETCH, task_id), last_event_id)


@router.post("/{task_id}/cancel", status_code=HTTPStatus.ACCEPTED, responses=NOT_FOUND)
async def cancel_fetch(task_id: UUID, services: ServicesOf, caller: CallerOf, response: Response) -> TaskView:
    """Cancel the request. The shared fetch, on which others may wait, continues unless an admin cancels it."""
    return describe(response, await cancel_task(services, caller, TaskKind.FETCH, task_id))
