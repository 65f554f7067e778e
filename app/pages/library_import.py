"""A reader's page for importing a library: a form with a file, the import's progress, and its report.

A stream of events updates the progress. Without scripts, the page reloads until the import has ended.
"""

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from app.api.tasks import ServicesOf
from app.api.uploads import EmptyUpload, UploadTarget, UploadTooLarge, UploadTooSlow, receive_library
from app.api.waiting import HubOf, LastEventId, task_events
from app.errors import BroadsheetError, TaskNotFound, TooManyUploads, UploadInProgress, UploadRemoved
from app.models.tasks import Task, TaskStatus
from app.pages.links import HomeVisit, Visit, link_route
from app.pages.multipart import InvalidUploadForm, UploadForm
from app.pages.rendering import PageRenderer, redirect
from app.persistence.reader_papers import BulkFeedback
from app.services import Services

PAGE_UPLOADS: Final = 20
"""How many uploads are received from all readers of one owner at a time; each reader has one."""

MAX_STREAM_SECONDS: Final = 60.0
"""Seconds until a stream of progress ends and the browser reconnects, so that a revoked link loses its stream."""

_PROBLEMS: Final[dict[type[BroadsheetError], str]] = {
    EmptyUpload: "Choose a file that is not empty.",
    UploadTooLarge: "The file has more than 50 MB. Import it in parts.",
    UploadTooSlow: "The upload took more than ten minutes. Import the file in parts.",
    UploadInProgress: "Another file is being imported. Wait until it is done, or cancel it.",
    UploadRemoved: "The upload stood still for too long. Please try again.",
    TooManyUploads: "Too many files are being imported now. Please try again in a minute.",
    InvalidUploadForm: "The file did not arrive completely. Please choose it again.",
}


def import_router(pages: PageRenderer) -> APIRouter:
    """Return the router of the import page."""
    router = APIRouter(prefix="/r/home/{token}/import", include_in_schema=False, route_class=link_route(pages))

    @router.get("")
    async def show_import(visit: HomeVisit, services: ServicesOf) -> HTMLResponse:
        return await _page(pages, visit, services)

    @router.get("/events")
    async def import_events(
        visit: HomeVisit, services: ServicesOf, hub: HubOf, last_event_id: LastEventId = None
    ) -> Response:
        task = await services.imports.newest(visit.reader.reader_id)
        if task is None:
            raise TaskNotFound("The reader has no import.")
        return task_events(hub, task, last_event_id, seconds=MAX_STREAM_SECONDS, show=_show_progress)

    @router.post("")
    async def start_import(visit: HomeVisit, services: ServicesOf, request: Request) -> Response:
        try:
            await _receive(visit, services, request)
        except tuple(_PROBLEMS) as error:
            return await _page(pages, visit, services, problem=_PROBLEMS[type(error)], status=HTTPStatus(error.status))
        return _to_page(visit)

    @router.post("/cancel")
    async def cancel_import(visit: HomeVisit, services: ServicesOf) -> Response:
        task = await services.imports.newest(visit.reader.reader_id)
        if task is not None:
            await services.tasks.cancel_task(task.task_id)
        return _to_page(visit)

    return router


async def _page(
    pages: PageRenderer,
    visit: Visit,
    services: Services,
    *,
    problem: str | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> HTMLResponse:
    """Show the form, and the reader's newest import: its progress, its report, or why it ended without one."""
    task = await services.imports.newest(visit.reader.reader_id)
    completed = task is not None and task.status is TaskStatus.COMPLETED
    context = {
        "task": task,
        "report": await services.imports.report(task.task_id) if task is not None and completed else None,
        "message": _message(task) if task is not None else "",
        "problem": problem,
    }
    return pages.page("home_import.html.j2", status_code=status, visit=visit, **context)


def _message(task: Task) -> str:
    return task.message or "Your file has arrived. The import begins in a moment."


def _show_progress(task: Task) -> dict[str, Any]:
    """Show what the page shows: an error's text is for callers."""
    return {"status": task.status.value, "message": _message(task), "progress": task.progress}


async def _receive(visit: Visit, services: Services, request: Request) -> None:
    """Receive the form, and create the task that imports its file. Raises the errors in `_PROBLEMS`."""
    form = UploadForm(request.headers.get("content-type", ""))
    target = UploadTarget(visit.reader.owner, visit.reader.reader_id, receiving=PAGE_UPLOADS)
    async with receive_library(request, services.uploads, target) as upload:
        try:
            async for chunk in request.stream():
                for part in form.feed(chunk):
                    await upload.write(part)
        except HTTPException as error:  # the limit of the whole body
            if error.status_code != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                raise
            raise UploadTooLarge from None
        form.require_complete()
        feedback = form.fields.get("feedback")
        await upload.finish(BulkFeedback.SAVED if feedback == BulkFeedback.SAVED else BulkFeedback.LIKED)


def _to_page(visit: Visit) -> Response:
    return redirect(f"{visit.path('home')}/import")
