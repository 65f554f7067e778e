"""`/v1/fetches`: ask for a day to be fetched, follow that, take it back."""

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
from app.api.waiting import EVENTS, EndWaiterOf, HubOf, LastEventId, task_events
from app.models import TaskKind

router = APIRouter(prefix="/v1/fetches", tags=["fetches"], responses=COMMON_ERRORS)


@router.post("", status_code=HTTPStatus.ACCEPTED, responses=BODY_ERRORS)
async def create_fetch(body: FetchRequest, creator: TaskCreatorOf, response: Response) -> TaskView:
    """Ask for a day's papers and news to be fetched: the task waits for the service's own fetch.

    It joins one that is under way, and begins one otherwise; fetching a day twice is harmless.
    """
    return describe(response, await creator.create(TaskKind.FETCH, {"shared": True}, body))


@router.get("/{task_id}", responses=NOT_FOUND)
async def get_fetch(
    task_id: UUID, services: ServicesOf, caller: CallerOf, waiter: EndWaiterOf, response: Response
) -> TaskView:
    """Say how far a fetch is, at once or when it has ended."""
    return describe(response, await waiter.wait_for_end(await read_task(services, caller, TaskKind.FETCH, task_id)))


@router.get("/{task_id}/events", response_class=Response, responses=NOT_FOUND | EVENTS)
async def watch_fetch(
    task_id: UUID, services: ServicesOf, caller: CallerOf, hub: HubOf, last_event_id: LastEventId = None
) -> Response:
    """Follow a fetch: an event for each new state, until its end."""
    return task_events(hub, await read_task(services, caller, TaskKind.FETCH, task_id), last_event_id)


@router.post("/{task_id}/cancel", status_code=HTTPStatus.ACCEPTED, responses=NOT_FOUND)
async def cancel_fetch(task_id: UUID, services: ServicesOf, caller: CallerOf, response: Response) -> TaskView:
    """Take the request back: the fetch itself, which may be others' too, goes on unless an admin cancels that."""
    return describe(response, await cancel_task(services, caller, TaskKind.FETCH, task_id))
