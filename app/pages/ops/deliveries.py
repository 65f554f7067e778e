"""Mails: those in doubt with their two decisions, the others by status, and the gate before all of them."""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.api.tasks import ServicesOf
from app.pages.ops.filters import chosen, query
from app.pages.ops.flash_messages import flash_message, redirect_with
from app.pages.ops.guard import FormOf, OperatorOf, add_act
from app.pages.rendering import PageRenderer
from app.persistence.deliveries import DeliveryStatus

DELIVERIES: Final = "/ops/deliveries"
STATUSES: Final = tuple(status.value for status in DeliveryStatus)


def add_deliveries(router: APIRouter, pages: PageRenderer) -> None:
    """Add the page of mails, and what is decided there."""

    @router.get("/deliveries")
    async def show_deliveries(session: OperatorOf, services: ServicesOf, request: Request) -> Response:
        status = chosen(request, "status", STATUSES) or DeliveryStatus.IN_DOUBT.value
        page = await services.deliveries.page(
            None, status=DeliveryStatus(status), cursor=request.query_params.get("cursor")
        )
        return pages.page(
            "ops/deliveries.html.j2",
            session=session,
            here=DELIVERIES,
            said=flash_message(request),
            deliveries=page.deliveries,
            chosen=status,
            statuses=STATUSES,
            paused=await services.deliveries.paused(),
            more=query(DELIVERIES, status=status, cursor=page.next_cursor) if page.next_cursor else None,
        )

    async def resolve_as_sent(delivery_id: UUID, form: FormOf, services: ServicesOf) -> Response:
        await services.deliveries.resolve(delivery_id, DeliveryStatus.SENT, by=form.session.who)
        return redirect_with(DELIVERIES, "sent")

    async def send_again(delivery_id: UUID, form: FormOf, services: ServicesOf) -> Response:
        await services.deliveries.resolve(delivery_id, DeliveryStatus.PENDING, by=form.session.who)
        return redirect_with(DELIVERIES, "again")

    async def begin_again(form: FormOf, services: ServicesOf) -> Response:
        skip = form.one_of("pending", ("send", "skip")) == "skip"
        await services.deliveries.resume(by=form.session.who, skip_pending=skip)
        return redirect_with(DELIVERIES, "mails")

    add_act(router, "/deliveries/{delivery_id}/sent", resolve_as_sent)
    add_act(router, "/deliveries/{delivery_id}/again", send_again)
    add_act(router, "/deliveries/resume", begin_again)
