"""The page of mails: mails in doubt and how to resolve them, mails by status, and the pause of all sending."""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.api.tasks import ServicesOf
from app.pages.ops.filters import list_url, selected
from app.pages.ops.flash_messages import flash_message, redirect_with
from app.pages.ops.guard import FormOf, OperatorOf, add_action
from app.pages.rendering import PageRenderer
from app.persistence.deliveries import DeliveryStatus

DELIVERIES: Final = "/ops/deliveries"
STATUSES: Final = tuple(status.value for status in DeliveryStatus)


def add_deliveries(router: APIRouter, pages: PageRenderer) -> None:
    """Add the page of mails and its actions."""

    @router.get("/deliveries")
    async def show_deliveries(session: OperatorOf, services: ServicesOf, request: Request) -> Response:
        status = selected(request, "status", STATUSES) or DeliveryStatus.IN_DOUBT.value
        page = await services.deliveries.page(
            None, status=DeliveryStatus(status), cursor=request.query_params.get("cursor")
        )
        return pages.page(
            "ops/deliveries.html.j2",
            session=session,
            here=DELIVERIES,
            message=flash_message(request),
            deliveries=page.deliveries,
            selected=status,
            statuses=STATUSES,
            paused=await services.deliveries.paused(),
            more=list_url(DELIVERIES, status=status, cursor=page.next_cursor) if page.next_cursor else None,
        )

    async def resolve_as_sent(delivery_id: UUID, form: FormOf, services: ServicesOf) -> Response:
        await services.deliveries.resolve(delivery_id, DeliveryStatus.SENT, by=form.session.operator)
        return redirect_with(DELIVERIES, "sent")

    async def send_again(delivery_id: UUID, form: FormOf, services: ServicesOf) -> Response:
        await services.deliveries.resolve(delivery_id, DeliveryStatus.PENDING, by=form.session.operator)
        return redirect_with(DELIVERIES, "again")

    async def resume_sending(form: FormOf, services: ServicesOf) -> Response:
        skip = form.one_of("pending", ("send", "skip")) == "skip"
        await services.deliveries.resume(by=form.session.operator, skip_pending=skip)
        return redirect_with(DELIVERIES, "mails")

    add_action(router, "/deliveries/{delivery_id}/sent", resolve_as_sent)
    add_action(router, "/deliveries/{delivery_id}/again", send_again)
    add_action(router, "/deliveries/resume", resume_sending)
