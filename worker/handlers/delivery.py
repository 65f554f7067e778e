"""A delivery task: sends a reader's mail, at most once, and says truly what became of it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email.message import EmailMessage
from random import Random
from typing import Any, Final, TypeVar, assert_never
from uuid import UUID

import structlog
from pydantic import BaseModel, ValidationError

from app.digest.rendering import DigestRenderer
from app.errors import LeaseLost, PermanentError, SupabaseUnavailable
from app.links import Links
from app.mail.digest_mail import digest_message
from app.mail.footer import MailLinks
from app.mail.message import MessageKey
from app.mail.sender import InDoubt, MailSender, NotSent
from app.mail.welcome_mail import welcome_message
from app.mail_address import Mailbox
from app.models import Digest
from app.persistence.deliveries import (
    Deliveries,
    DeliveryStatus,
    EndStatus,
    Lost,
    MailParts,
    Paused,
    Send,
    SkipDelivery,
    Verdict,
)
from app.persistence.outcomes import Lease
from worker.job import Job, Snooze

T = TypeVar("T")
log = structlog.get_logger(__name__)

TIMEOUT: Final = timedelta(minutes=10)
"""Longer than the slowest sending: eight steps of 30 s, and 120 s for the answer that decides (`MailLimits`)."""
REPEATABLE_WITHIN: Final = timedelta(hours=23)
"""For how long a provider surely knows a key that it took: Resend says 24 hours."""
PAUSE_CHECK: Final = timedelta(minutes=1)
"""How soon a delivery looks again whether deliveries are still paused."""
ASK_AGAIN: Final = 1.0
"""Seconds until Supabase, which did not answer, is told the same again."""

FIRST_RETRY: Final = timedelta(seconds=30)
LONGEST_RETRY: Final = timedelta(hours=1)
JITTER: Final = 0.2


def delivery_delay(attempt: int, error: BaseException, random: Random) -> timedelta:
    """The time until the next attempt: 30 s, doubled up to an hour, a fifth more or less; no less than the server asks.

    Greylisting servers want some minutes; twenty attempts go on for half a day, or until the next mail is due.
    """
    ceiling: timedelta = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempt - 1, 16))
    planned = ceiling * random.uniform(1 - JITTER, 1 + JITTER)
    asked = error.retry_after if isinstance(error, NotSent) else None
    return max(planned, timedelta(seconds=asked or 0.0))


class MailWriter:
    """Writes the mail of a delivery: from the same parts the same bytes."""

    def __init__(self, sender: Mailbox, links: Links, renderer: DigestRenderer) -> None:
        self._sender = sender
        self._links = links
        self._renderer = renderer

    async def write(self, parts: MailParts) -> tuple[EmailMessage, MessageKey]:
        """Return the mail and its key. Raises `ValueError` where what is stored makes none."""
        key = MessageKey(parts.reader_id, parts.local_day, parts.kind)
        common: dict[str, Any] = {
            "key": key,
            "sender": self._sender,
            "recipient": Mailbox(parts.email, parts.name),
            "date": parts.created_at,
            "links": MailLinks.signed(self._links, parts.reader_id, parts.link_generation, parts.local_day),
        }
        if parts.kind == "welcome":
            return welcome_message(**common), key
        if parts.digest is None:
            raise ValueError("the digest was removed")
        digest = Digest.model_validate(parts.digest.digest)
        return await digest_message(digest, self._renderer.render, **common), key


class DeliveryPayload(BaseModel):
    """The payload of a delivery task, as `enqueue_delivery()` writes it."""

    delivery_id: UUID


class DeliveryHandler:
    """Sends one delivery under the lease of its task."""

    def __init__(self, deliveries: Deliveries, writer: MailWriter, sender: MailSender) -> None:
        self._deliveries = deliveries
        self._writer = writer
        self._sender = sender

    async def __call__(self, job: Job) -> dict[str, Any]:
        """Send, or find that there is nothing to send.

        Raises `NotSent` where it may go better later, `InDoubt` where another attempt resolves it, `PermanentError`,
        `LeaseLost`, `SupabaseError`, and `Snooze` while deliveries are paused.
        """
        try:
            delivery_id = DeliveryPayload.model_validate(job.task.payload).delivery_id
        except ValidationError as error:
            raise PermanentError(f"the delivery's payload cannot be read: {error}") from error
        sending = _Sending(self._deliveries, delivery_id, job.task.lease)
        match await sending.begin(REPEATABLE_WITHIN if self._sender.idempotent else None, self._sender.sender_id):
            case Send() as given:
                return await self._send(sending, given)
            case SkipDelivery(status=DeliveryStatus.FAILED, reason=reason):
                raise PermanentError(reason or "it was refused for good")
            case SkipDelivery(status=status, reason=reason):
                return _result(status, reason)
            case Paused(reason=reason):
                raise Snooze(PAUSE_CHECK, f"deliveries are paused: {reason}")
            case Lost():
                raise LeaseLost(f"the delivery {delivery_id} is another's to send")
            case _ as never:
                assert_never(never)

    async def _send(self, sending: "_Sending", given: Send) -> dict[str, Any]:
        try:
            message, key = await self._written(sending, given)
            sent = await self._sender.send(message, key)
        except asyncio.CancelledError:
            if not self._sender.idempotent:
                await sending.give_back()
            raise
        except NotSent as error:
            if not given.begun_before:
                await _not_sent(sending, error)
                raise
            # This attempt sent nothing, but one before it may have.
            return await _in_doubt(sending, error, again=error.transient)
        except InDoubt as error:
            # With a provider's key the next attempt, which sends the same under the same key, tells.
            return await _in_doubt(sending, error, again=error.repeatable)
        await sending.end(DeliveryStatus.SENT, provider_id=sent.provider_id)
        return _result(DeliveryStatus.SENT)

    async def _written(self, sending: "_Sending", given: Send) -> tuple[EmailMessage, MessageKey]:
        """Write the mail. Raises `PermanentError` where what is stored makes none, once that is said."""
        try:
            return await self._writer.write(given.mail)
        except Exception as error:
            reason = f"the mail cannot be written: {error}"
            # Where it could before, that attempt may have sent it.
            await sending.end(DeliveryStatus.IN_DOUBT if given.begun_before else DeliveryStatus.FAILED, reason)
            raise PermanentError(reason) from error


async def _not_sent(sending: "_Sending", error: NotSent) -> None:
    """Say so. Raises `PermanentError` where it will not go better later."""
    if error.transient:
        await sending.end(DeliveryStatus.PENDING, str(error))
        return
    await sending.end(DeliveryStatus.FAILED, str(error), bounce=error.bounce)
    raise PermanentError(str(error)) from error


async def _in_doubt(sending: "_Sending", error: NotSent | InDoubt, *, again: bool) -> dict[str, Any]:
    """Say that it may have been sent. Raises `error` where another attempt can tell (`again`)."""
    if again:
        await sending.end(DeliveryStatus.SENDING, str(error))
        raise error
    await sending.end(DeliveryStatus.IN_DOUBT, str(error))
    return _result(DeliveryStatus.IN_DOUBT, str(error))


class _Sending:
    """A delivery that is this lease's to send, and to say what became of it."""

    def __init__(self, deliveries: Deliveries, delivery_id: UUID, lease: Lease) -> None:
        self._deliveries = deliveries
        self._delivery_id = delivery_id
        self._lease = lease

    async def begin(self, repeatable_within: timedelta | None, sender_id: str) -> Verdict:
        """Ask for it, until there is an answer."""
        try:
            return await _answered(
                lambda: self._deliveries.begin(
                    self._delivery_id, self._lease, repeatable_within=repeatable_within, sender_id=sender_id
                )
            )
        except asyncio.CancelledError:
            # With a provider that knows its keys it stays as it is: sent again it is the same mail.
            if repeatable_within is None:
                await self.give_back()
            raise

    async def give_back(self) -> None:
        """Say that nothing was sent, if it was this lease's to send at all."""
        reason = "its sender was stopped before it sent"
        await _answered(
            lambda: self._deliveries.end(self._delivery_id, self._lease, DeliveryStatus.PENDING, reason=reason)
        )

    async def end(
        self, status: EndStatus, reason: str | None = None, *, provider_id: str | None = None, bounce: bool = False
    ) -> None:
        """Say it, until it is heard. Raises `LeaseLost` where it is no longer this lease's to say."""
        counted = await _answered(
            lambda: self._deliveries.end(
                self._delivery_id, self._lease, status, reason=reason, provider_id=provider_id, bounce=bounce
            )
        )
        if not counted:
            log.warning("what became of a mail came too late", delivery_id=str(self._delivery_id), status=status.value)
            raise LeaseLost(f"the delivery {self._delivery_id} was taken over")


async def _answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until Supabase answers: a delivery whose sender does not know where it stands would end in doubt.

    The task's time limit ends it.
    """
    while True:
        try:
            return await ask()
        except SupabaseUnavailable as error:
            log.warning("asked again", error=str(error))
        await asyncio.sleep(ASK_AGAIN)


def _result(status: DeliveryStatus, reason: str | None = None) -> dict[str, Any]:
    return {"status": status.value} | ({"reason": reason} if reason else {})
