"""`/v1/callbacks`: the status of callbacks."""

from uuid import UUID

from fastapi import APIRouter, Response

from app.api.auth import CallerOf
from app.api.models import TaskView
from app.api.tasks import COMMON_ERRORS, NOT_FOUND, ServicesOf, describe, read_task
from app.models.tasks import TaskKind

router = APIRouter(prefix="/v1/callbacks", tags=["callbacks"], responses=COMMON_ERRORS)


@router.get("/{task_id}", responses=NOT_FOUND)
async def get_callback(task_id: UUID, services: ServicesOf, caller: CallerOf, response: Response) -> TaskView:
    """Get a callback's status; `parent` is the task whose end it reports."""
    return describe(response, await read_task(services, caller, TaskKind.CALLBACK, task_id))
