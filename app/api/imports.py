"""`/v1/imports`: follow the import of a library, read its report, cancel it."""

from http import HTTPStatus
from typing import Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field

from app.api.auth import CallerOf
from app.api.models import TaskView
from app.api.tasks import COMMON_ERRORS, NOT_FOUND, ServicesOf, cancel_task, describe, read_task, set_task_headers
from app.api.waiting import EVENT_RESPONSES, EndWaiterOf, HubOf, LastEventId, task_events
from app.models.tasks import Task, TaskKind, TaskStatus
from app.persistence.imports import LibraryReport
from app.services import Services

router = APIRouter(prefix="/v1/imports", tags=["imports"], responses=COMMON_ERRORS)


class ImportView(TaskView):
    """An import's task, and its report when it is completed."""

    report: LibraryReport | None = Field(
        None, description="entries = accepted + already_there + rejected; rejections are the first 500."
    )

    @classmethod
    def with_report(cls, task: Task, report: LibraryReport | None) -> Self:
        """Build the view of `task`, with its report if it has one."""
        return cls.of(task, report=report)


async def import_view(services: Services, response: Response, task: Task) -> ImportView:
    """Build the view of an import and set its headers. Raises `SupabaseError`."""
    set_task_headers(response, task)
    completed = task.status is TaskStatus.COMPLETED
    return ImportView.with_report(task, await services.imports.report(task.task_id) if completed else None)


@router.get("/{task_id}", responses=NOT_FOUND)
async def get_import(
    task_id: UUID, services: ServicesOf, caller: CallerOf, waiter: EndWaiterOf, response: Response
) -> ImportView:
    """Get an import's task, immediately or (`Prefer: wait`) when it has ended; a completed one with its report."""
    task = await waiter.wait_for_end(await read_task(services, caller, TaskKind.IMPORT, task_id))
    return await import_view(services, response, task)


@router.get("/{task_id}/events", response_class=Response, responses=NOT_FOUND | EVENT_RESPONSES)
async def watch_import(
    task_id: UUID, services: ServicesOf, caller: CallerOf, hub: HubOf, last_event_id: LastEventId = None
) -> Response:
    """Stream an import's progress: one event for each change, until the task ends."""
    return task_events(hub, await read_task(services, caller, TaskKind.IMPORT, task_id), last_event_id)


@router.post("/{task_id}/cancel", status_code=HTTPStatus.ACCEPTED, responses=NOT_FOUND)
async def cancel_import(task_id: UUID, services: ServicesOf, caller: CallerOf, response: Response) -> TaskView:
    """Cancel an import: papers that were added stay, the rest of the file is removed unread."""
    return describe(response, await cancel_task(services, caller, TaskKind.IMPORT, task_id))
