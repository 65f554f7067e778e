"""The actions that retry or discard a whole group of permanently failed tasks."""

from fastapi import APIRouter, Response

from app.api.admin import DiscardRequest, ReplayRequest, discard_failed_tasks, replay_failed_tasks
from app.api.tasks import ServicesOf
from app.errors import NothingToDo
from app.formatting import figure
from app.models.tasks import TaskKind
from app.pages.ops.flash_messages import redirect_with
from app.pages.ops.guard import FormOf, add_action
from app.pages.ops.overview import KINDS, actor_of
from app.persistence.operator import FailureGroup


def add_failures(router: APIRouter) -> None:
    """Add the actions on groups. The operator must type the group's number of tasks."""

    async def retry_group(form: FormOf, services: ServicesOf) -> Response:
        group = await _confirmed(form, services)
        request = ReplayRequest(kind=TaskKind(group.kind), cause=group.cause)
        result = await replay_failed_tasks(request, services, actor_of(form))
        return redirect_with("/ops/tasks", str(result.replayed))

    async def discard_group(form: FormOf, services: ServicesOf) -> Response:
        group = await _confirmed(form, services)
        request = DiscardRequest(kind=TaskKind(group.kind), cause=group.cause)
        await discard_failed_tasks(request, services, actor_of(form))
        return redirect_with("/ops/tasks", "discarded")

    add_action(router, "/failures/retry", retry_group)
    add_action(router, "/failures/discard", discard_group)


async def _confirmed(form: FormOf, services: ServicesOf) -> FailureGroup:
    """Return the form's group. Raises `NothingToDo` if it is gone, or if the number is not that of its tasks."""
    kind = form.one_of("kind", KINDS)
    found = [
        group
        for group in await services.operator.failure_groups()
        if (group.kind, group.cause) == (kind, form.fields.get("cause"))
    ]
    if not found:
        raise NothingToDo("This group of failures has no tasks any more.")
    if form.fields.get("number", "").strip().replace(",", "") != str(found[0].tasks):
        raise NothingToDo(f"The group has {figure(found[0].tasks)} tasks now. To confirm, type this number.")
    return found[0]
