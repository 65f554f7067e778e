"""`/hooks/mail`: the mail provider reports bounces and complaints."""

import json
from http import HTTPStatus

import structlog
from fastapi import APIRouter, Request

from app.api.tasks import ServicesOf
from app.config.mail_address import InvalidAddress, Mailbox
from app.mail.bounces import BounceReader

COMPLAINT = "email.complained"

log = structlog.get_logger(__name__)
router = APIRouter(include_in_schema=False)


@router.post("/hooks/mail", status_code=HTTPStatus.NO_CONTENT)
async def mail_hook(request: Request, services: ServicesOf) -> None:
    """Stop the mails to an address that bounced permanently or complained. A repeated call changes nothing.

    Raises `InvalidWebhook`, also if RESEND_WEBHOOK_SECRET is not set.
    """
    bounce_reader: BounceReader = request.app.state.bounces
    body = await request.body()
    permanent = [bounce for bounce in bounce_reader.read(body, request.headers) if bounce.permanent]
    complaint = bool(permanent) and json.loads(body)["type"] == COMPLAINT
    for bounce in permanent:
        addresses = _normalized(bounce.address)
        stopped = await services.deliveries.record_bounce(addresses, bounce.reason, complaint=complaint)
        log.info("mail bounced", stopped=stopped, complaint=complaint)


def _normalized(address: str) -> list[str]:
    """Return the address in its stored form; an empty list if it is not valid."""
    try:
        return [Mailbox.parse(address).address]
    except InvalidAddress:
        return []
