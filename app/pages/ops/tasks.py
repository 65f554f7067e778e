"""The pages of tasks: lists by kind and status, failed tasks and their replay, and the live page of one task."""

from http import HTTPStatus
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from app.api.admin import ReplayRequest, replay_failed_tasks
from app.api.digest_pages import DigestPagesOf
from app.api.tasks import ServicesOf, finished_digest
from app.config import ApiSettings
from app.models.tasks import TaskKind, TaskStatus
from app.pages.ops.failure_groups import group_view
from app.pages.ops.flash_messages import flash_message, redirect_with
from app.pages.ops.guard import FormOf, OperatorOf, add_action
from app.pages.ops.overview import KINDS, actor_of
from app.pages.ops.task_details import details_view
from app.pages.ops.task_filters import STATUSES, TASKS, TaskFilters
from app.pages.rendering import PageRenderer

FAILED: Final = f"{TASKS}?status=failed"


def add_tasks(router: APIRouter, pages: PageRenderer) -> None:
    """Add the pages of tasks and their actions."""
    _add_list(router, pages)
    _add_one(router, pages)
    _add_actions(router)


def _add_list(router: APIRouter, pages: PageRenderer) -> None:
    @router.get("/tasks")
    async def show_tasks(session: OperatorOf, services: ServicesOf, request: Request) -> Response:
        filters = TaskFilters.of(request)
        page = await filters.read(services, request.query_params.get("cursor"))
        groups = await services.operator.failure_groups() if filters.shows_groups else []
        return pages.page(
            "ops/tasks.html.j2",
            session=session,
            groups=[group_view(group) for group in groups if filters.kind in (None, group.kind)],
            here=FAILED if filters.status == TaskStatus.FAILED else TASKS,
            message=flash_message(request),
            tasks=page.tasks,
            filters=filters,
            kinds=KINDS,
            statuses=STATUSES,
            more=filters.url(page.next_cursor),
        )

    @router.get("/find")
    async def find_task(_session: OperatorOf, task_id: UUID) -> Response:
        return RedirectResponse(f"{TASKS}/{task_id}", HTTPStatus.SEE_OTHER)


def _add_one(router: APIRouter, pages: PageRenderer) -> None:
    @router.get("/tasks/{task_id}")
    async def show_task(task_id: UUID, session: OperatorOf, services: ServicesOf, request: Request) -> Response:
        details = await services.operator_tasks.details(task_id)
        settings: ApiSettings = request.app.state.settings
        return pages.page(
            "ops/task.html.j2",
            session=session,
            here=TASKS,
            message=flash_message(request),
            task=details.task,
            details=details,
            view=details_view(details, settings.trace_url),
        )

    @router.get("/tasks/{task_id}/page")
    async def show_digest(
        task_id: UUID, _session: OperatorOf, services: ServicesOf, digest_pages: DigestPagesOf
    ) -> Response:
        digest = await finished_digest(services, await services.tasks.get_task(task_id))
        return await digest_pages.response(digest, cacheable=False)


def _add_actions(router: APIRouter) -> None:
    async def replay(task_id: UUID, form: FormOf, services: ServicesOf) -> Response:
        await services.operator.replay(actor_of(form), task_id)
        return redirect_with(f"{TASKS}/{task_id}", "replayed")

    async def cancel(task_id: UUID, form: FormOf, services: ServicesOf) -> Response:
        await services.operator.cancel(actor_of(form), task_id)
        return redirect_with(f"{TASKS}/{task_id}", "cancelled")

    async def redeliver(task_id: UUID, form: FormOf, services: ServicesOf) -> Response:
        await services.operator.redeliver(actor_of(form), task_id)
        return redirect_with(f"{TASKS}/{task_id}", "redelivered")

    async def replay_all(form: FormOf, services: ServicesOf) -> Response:
        kind = form.one_of("kind", ("", *KINDS))
        kinds = [TaskKind(kind)] if kind else list(TaskKind)
        steps = [await replay_failed_tasks(ReplayRequest(kind=kind), services, actor_of(form)) for kind in kinds]
        return redirect_with(TASKS, str(sum(step.replayed for step in steps)))

    add_action(router, "/tasks/{task_id}/replay", replay)
    add_action(router, "/tasks/{task_id}/cancel", cancel)
    add_action(router, "/tasks/{task_id}/redeliver", redeliver)
    add_action(router, "/replays", replay_all)
