"""Mails: those in doubt with their two decisions, the others by state, and the gate before all of them."""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.api.tasks import ServicesOf
from app.pages.ops.filters import chosen, query
from app.pages.ops.guard import FormOf, OperatorOf, add_act
from app.pages.ops.said import led_to, said_of
from app.pages.rendering import PageRenderer
from app.persistence.deliveries import DeliveryState

DELIVERIES: Final = "/ops/deliveries"
STATES: Final = tuple(state.value for state in DeliveryState)


def add_deliveries(router: APIRouter, pages: PageRenderer) -> None:
    """Add the page of mails, and what is decided there."""

    @router.get("/deliveries")
    async def show_deliveries(session: OperatorOf, services: ServicesOf, request: Request) -> Response:
        state = chosen(request, "state", STATES) or DeliveryState.AMBIGUOUS.value
        page = await services.deliveries.page(
            None, state=DeliveryState(state), cursor=request.query_params.get("cursor")
        )
        return pages.page(
            "ops/deliveries.html.j2",
            session=session,
            here=DELIVERIES,
            said=said_of(request),
            deliveries=page.deliveries,
            state=state,
            states=STATES,
            paused=await services.deliveries.paused(),
            more=query(DELIVERIES, state=state, cursor=page.next_cursor) if page.next_cursor else None,
        )

    async def settle_as_sent(delivery_id: UUID, form: FormOf, services: ServicesOf) -> Response:
        await services.deliveries.settle(delivery_id, DeliveryState.SENT, by=form.session.who)
        return led_to(DELIVERIES, "sent")

    async def send_again(delivery_id: UUID, form: FormOf, services: ServicesOf) -> Response:
        await services.deliveries.settle(delivery_id, DeliveryState.PENDING, by=form.session.who)
        return led_to(DELIVERIES, "again")

    async def begin_again(form: FormOf, services: ServicesOf) -> Response:
        skip = form.one_of("pending", ("send", "skip")) == "skip"
        await services.deliveries.resume(by=form.session.who, skip_pending=skip)
        return led_to(DELIVERIES, "mails")

    add_act(router, "/deliveries/{delivery_id}/sent", settle_as_sent)
    add_act(router, "/deliveries/{delivery_id}/again", send_again)
    add_act(router, "/deliveries/resume", begin_again)
