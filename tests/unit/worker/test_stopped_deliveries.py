"""A worker stops while it sends: with SMTP, the mail is reported as not sent; a provider may have the mail."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest

from app.mail.message import MessageKey
from app.models.tasks import TaskKind
from app.persistence.deliveries import DeliveryStatus, MailParts, Send
from app.persistence.outcomes import Lease
from app.persistence.queue import ClaimedTask
from worker.handlers.delivery import DeliveryHandler
from worker.job import Job

ID, READER, DAY = UUID(int=1), UUID(int=2), date(2026, 11, 24)
PARTS = MailParts(
    delivery_id=ID,
    reader_id=READER,
    kind="welcome",
    local_day=DAY,
    created_at=datetime(2026, 11, 24, tzinfo=UTC),
    name="Ada",
    email="ada@example.org",
    link_generation=1,
)


class Deliveries:
    """Lets the delivery begin, and records its reported end."""

    def __init__(self) -> None:
        self.ends: list[DeliveryStatus] = []

    async def begin(self, *_: Any, **__: Any) -> Send:
        return Send(verdict="send", mail=PARTS, begun_before=False)

    async def end(self, _delivery_id: UUID, _lease: Lease, status: DeliveryStatus, **_: Any) -> bool:
        self.ends.append(status)
        return True


class Writer:
    async def write(self, parts: MailParts) -> tuple[EmailMessage, MessageKey]:
        return EmailMessage(), MessageKey(parts.reader_id, parts.local_day, parts.kind)


class Sender:
    """Sends and never ends."""

    sender_id = "resend:1"

    def __init__(self, *, idempotent: bool) -> None:
        self.idempotent = idempotent
        self.begun = asyncio.Event()

    async def send(self, _message: EmailMessage, _key: MessageKey) -> Any:
        self.begun.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize(("idempotent", "ends"), [(False, [DeliveryStatus.PENDING]), (True, [])])
async def test_a_stopped_sending_is_given_back_by_smtp_alone(idempotent: bool, ends: list[DeliveryStatus]) -> None:
    """With a provider the delivery stays `sending`: the next attempt sends the same mail under the same key."""
    deliveries, sender = Deliveries(), Sender(idempotent=idempotent)
    task = ClaimedTask(
        Lease(UUID(int=3), UUID(int=4)), TaskKind.DELIVERY, 1, 20, timedelta(0), None, {"delivery_id": str(ID)}
    )
    parts: Any = (deliveries, Writer(), sender)
    sending = asyncio.ensure_future(DeliveryHandler(*parts)(Job(task, 0.0, lambda *_: None)))
    await sender.begun.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert deliveries.ends == ends
