"""The overview page, and the actions that pause and resume kinds of tasks."""

import asyncio
from http import HTTPStatus
from itertools import groupby
from typing import Final
from uuid import uuid4

from fastapi import APIRouter, Request, Response

from app.api.tasks import ServicesOf
from app.errors import NothingToDo
from app.models.tasks import TaskKind
from app.pages.limits import MAX_REASON
from app.pages.ops.charts import charts_of
from app.pages.ops.failure_groups import group_view
from app.pages.ops.flash_messages import flash_message, redirect_with
from app.pages.ops.guard import FormOf, OperatorOf, SubmittedForm, add_action
from app.pages.ops.overview_cache import OverviewVersion, figures_of, health_of
from app.pages.rendering import PageRenderer
from app.persistence.operator import Actor
from app.persistence.overview import KindStatus, Overview
from app.services import Services

HOME: Final = "/ops"
KINDS: Final = tuple(kind.value for kind in TaskKind)
HOURS: Final = 6
"""Hours that the charts show."""

RECENT_ACTIONS: Final = 8
SHOWN_GROUPS: Final = 5
NO_REASON: Final = "no reason given"


def add_overview(router: APIRouter, pages: PageRenderer) -> None:
    """Add the overview and its actions."""

    @router.get("", status_code=HTTPStatus.OK)
    async def show_overview(session: OperatorOf, services: ServicesOf, request: Request) -> Response:
        overview, audit_log, groups, sign_ups = await asyncio.gather(
            services.operator.overview(hours=HOURS),
            services.operator.audit_entries(limit=RECENT_ACTIONS),
            services.operator.failure_groups(limit=SHOWN_GROUPS),
            services.sign_ups.figures(),
        )
        return pages.page(
            "ops/overview.html.j2",
            session=session,
            here=HOME,
            message=flash_message(request),
            overview=overview,
            audit_log=audit_log.entries,
            groups=[group_view(group) for group in groups],
            now=figures_of(overview),
            version=OverviewVersion.of(overview),
            kinds=_in_order(overview),
            hours=HOURS,
            charts={kind.kind: charts_of(overview.task_stats, kind.kind) for kind in overview.kinds},
            readers=readers_by_status(overview),
            sign_ups=sign_ups,
            settings=request.app.state.settings,
            known_kinds=KINDS,
            no_mail_sender=no_mail_sender(overview),
            health=health_of(overview),
            failing={source.name for source in overview.health.sources if source.failing_since},
        )

    async def pause(kind: TaskKind, form: FormOf, services: ServicesOf) -> Response:
        await services.operator.pause(actor_of(form), kind, _reason_of(form))
        return redirect_with(HOME, "paused")

    async def resume(kind: TaskKind, form: FormOf, services: ServicesOf) -> Response:
        await services.operator.resume(actor_of(form), kind)
        return redirect_with(HOME, "resumed")

    async def pause_all(form: FormOf, services: ServicesOf) -> Response:
        for kind in TaskKind:
            await services.operator.pause(actor_of(form), kind, _reason_of(form))
        return redirect_with(HOME, "paused")

    async def resume_all(form: FormOf, services: ServicesOf) -> Response:
        await _resume_all(form, services)
        return redirect_with(HOME, "resumed")

    add_action(router, "/kinds/{kind}/pause", pause)
    add_action(router, "/kinds/{kind}/resume", resume)
    add_action(router, "/pause", pause_all)
    add_action(router, "/resume", resume_all)


def actor_of(form: SubmittedForm) -> Actor:
    """Return the actor of a form: a new action id and the operator's name."""
    return Actor(uuid4(), form.session.operator)


def readers_by_status(overview: Overview) -> dict[str, int]:
    """Return the number of readers by status, for all owners."""
    counts = sorted(overview.readers, key=lambda count: count.status)
    return {
        status: sum(count.readers for count in group) for status, group in groupby(counts, lambda count: count.status)
    }


def no_mail_sender(overview: Overview) -> bool:
    """Whether workers are running, but none of them can send mails."""
    alive = [worker for worker in overview.workers if worker.alive]
    return bool(alive) and all("MAIL_URL" in worker.not_configured for worker in alive)


def _in_order(overview: Overview) -> list[KindStatus]:
    """Return the kinds in the order of a day, and then kinds that this code does not know."""
    return sorted(overview.kinds, key=lambda each: (*KINDS, each.kind).index(each.kind))


async def _resume_all(form: SubmittedForm, services: Services) -> None:
    for pause in await services.operator.pauses():
        if pause.kind in KINDS:
            try:
                await services.operator.resume(actor_of(form), TaskKind(pause.kind))
            except NothingToDo:  # another operator resumed it first
                continue


def _reason_of(form: SubmittedForm) -> str:
    return form.fields.get("reason", "").strip()[:MAX_REASON] or NO_REASON
