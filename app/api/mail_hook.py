"""`/hooks/mail`: the mail provider says which addresses take no mail, or want none."""

import json
from http import HTTPStatus

import structlog
from fastapi import APIRouter, Request

from app.api.tasks import ServicesOf
from app.mail.bounces import BounceReader
from app.mail_address import InvalidAddress, Mailbox

COMPLAINT = "email.complained"

log = structlog.get_logger(__name__)
router = APIRouter(include_in_schema=False)


@router.post("/hooks/mail", status_code=HTTPStatus.NO_CONTENT)
async def mail_hook(request: Request, services: ServicesOf) -> None:
    """SkipDelivery the mail of whoever is at an address that bounces for good or complained. It may come twice.

    Raises `InvalidWebhook`, also where RESEND_WEBHOOK_SECRET is not set.
    """
    bounce_reader: BounceReader = request.app.state.bounces
    body = await request.body()
    permanent = [bounce for bounce in bounce_reader.read(body, request.headers) if bounce.permanent]
    complaint = bool(permanent) and json.loads(body)["type"] == COMPLAINT
    for bounce in permanent:
        addresses = _stored(bounce.address)
        stopped = await services.deliveries.record_bounce(addresses, bounce.reason, complaint=complaint)
        log.info("mail came back", stopped=stopped, complaint=complaint)


def _stored(written: str) -> list[str]:
    """An address as readers have it; none if it is none."""
    try:
        return [Mailbox.parse(written).address]
    except InvalidAddress:
        return []
