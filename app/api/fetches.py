"""`/v1/fetches`: ask for a day to be fetched, follow it, cancel it."""

from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter, Response

from app.api.models import FetchRequest, TaskView
from app.api.tasks import BODY, EVERYWHERE, NOT_FOUND, Creator, ServicesOf, cancel_task, describe, read_task
from app.models import TaskKind

router = APIRouter(prefix="/v1/fetches", tags=["fetches"], responses=EVERYWHERE)


@router.post("", status_code=HTTPStatus.ACCEPTED, responses=BODY)
async def create_fetch(body: FetchRequest, creator: Creator, response: Response) -> TaskView:
    """Ask for a day's papers and news to be fetched; fetching a day twice is harmless."""
    return describe(response, await creator.create(TaskKind.FETCH, {}, body))


@router.get("/{task_id}", responses=NOT_FOUND)
async def get_fetch(task_id: UUID, services: ServicesOf, response: Response) -> TaskView:
    """Say how far a fetch is."""
    return describe(response, await read_task(services, TaskKind.FETCH, task_id))


@router.post("/{task_id}/cancel", status_code=HTTPStatus.ACCEPTED, responses=NOT_FOUND)
async def cancel_fetch(task_id: UUID, services: ServicesOf, response: Response) -> TaskView:
    """End a pending fetch at once, ask for a running one to be stopped; a finished one stays as it is."""
    return describe(response, await cancel_task(services, TaskKind.FETCH, task_id))
