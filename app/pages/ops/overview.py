"""The overview: everything at one moment, and the switches that keep workers from a kind of task."""

import asyncio
from http import HTTPStatus
from itertools import groupby
from typing import Final
from uuid import uuid4

from fastapi import APIRouter, Request, Response

from app.api.tasks import ServicesOf
from app.errors import NothingToDo
from app.models import TaskKind
from app.pages.ops.charts import charts_of
from app.pages.ops.flash_messages import flash_message, redirect_with
from app.pages.ops.guard import FormOf, OperatorOf, SentForm, add_act
from app.pages.ops.overview_cache import CachedOverview, figures_of
from app.pages.rendering import PageRenderer
from app.persistence.operator import Actor
from app.persistence.overview import KindStatus, Overview
from app.services import Services

HOME: Final = "/ops"
KINDS: Final = tuple(kind.value for kind in TaskKind)
HOURS: Final = 6
"""How far the charts go back."""

LAST_ACTS: Final = 8
MOST_WORDS: Final = 500
NO_REASON: Final = "no reason was given"


def add_overview(router: APIRouter, pages: PageRenderer) -> None:
    """Add the overview and its switches."""

    @router.get("", status_code=HTTPStatus.OK)
    async def show_overview(session: OperatorOf, services: ServicesOf, request: Request) -> Response:
        overview, acts = await asyncio.gather(
            services.operator.overview(hours=HOURS), services.operator.audit_entries(limit=LAST_ACTS)
        )
        return pages.page(
            "ops/overview.html.j2",
            session=session,
            here=HOME,
            said=flash_message(request),
            overview=overview,
            acts=acts,
            now=figures_of(overview),
            seen=CachedOverview.of(overview),
            kinds=_in_order(overview),
            hours=HOURS,
            charts={kind.kind: charts_of(overview.minutes, kind.kind) for kind in overview.kinds},
            readers=readers_by_status(overview),
            known=KINDS,
            no_sender=nobody_sends(overview),
        )

    async def pause(kind: TaskKind, form: FormOf, services: ServicesOf) -> Response:
        await services.operator.pause(by(form), kind, _why(form))
        return redirect_with(HOME, "paused")

    async def resume(kind: TaskKind, form: FormOf, services: ServicesOf) -> Response:
        await services.operator.resume(by(form), kind)
        return redirect_with(HOME, "resumed")

    async def pause_all(form: FormOf, services: ServicesOf) -> Response:
        for kind in TaskKind:
            await services.operator.pause(by(form), kind, _why(form))
        return redirect_with(HOME, "paused")

    async def resume_all(form: FormOf, services: ServicesOf) -> Response:
        await _resume_all(form, services)
        return redirect_with(HOME, "resumed")

    add_act(router, "/kinds/{kind}/pause", pause)
    add_act(router, "/kinds/{kind}/resume", resume)
    add_act(router, "/pause", pause_all)
    add_act(router, "/resume", resume_all)


def by(form: SentForm) -> Actor:
    """The act that a press is, under the operator's name."""
    return Actor(uuid4(), form.session.who)


def readers_by_status(overview: Overview) -> dict[str, int]:
    """How many readers have a status, whosever they are."""
    counts = sorted(overview.readers, key=lambda count: count.status)
    return {
        status: sum(count.readers for count in group) for status, group in groupby(counts, lambda count: count.status)
    }


def nobody_sends(overview: Overview) -> bool:
    """Whether there are workers, and none of them sends mails: what is to be sent waits."""
    return bool(overview.workers) and all("MAIL_URL" in worker.not_configured for worker in overview.workers)


def _in_order(overview: Overview) -> list[KindStatus]:
    """The kinds as a day goes through them, and behind them those that this code does not know."""
    return sorted(overview.kinds, key=lambda each: (*KINDS, each.kind).index(each.kind))


async def _resume_all(form: SentForm, services: Services) -> None:
    for pause in await services.operator.pauses():
        if pause.kind in KINDS:
            try:
                await services.operator.resume(by(form), TaskKind(pause.kind))
            except NothingToDo:  # somebody else was quicker
                continue


def _why(form: SentForm) -> str:
    return form.fields.get("why", "").strip()[:MOST_WORDS] or NO_REASON
