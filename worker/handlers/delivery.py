"""Delivery tasks: send a reader's mail at most once, and record the outcome."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email.message import EmailMessage
from typing import Any, Final, TypeVar, assert_never
from uuid import UUID

import structlog
from pydantic import BaseModel, ValidationError

from app.config.mail_address import Mailbox
from app.digest.rendering import DigestRenderer
from app.errors import LeaseLost, PermanentError, SupabaseUnavailable
from app.links import CONFIRM, Link, Links
from app.mail.confirmation_mail import confirmation_message
from app.mail.digest_mail import digest_message
from app.mail.footer import MailLinks
from app.mail.link_mail import LINK_PURPOSES, link_message, link_url
from app.mail.message import MessageKey
from app.mail.sender import InDoubt, MailSender, NotSent
from app.mail.welcome_mail import welcome_message
from app.models.digests import Digest
from app.persistence.deliveries import (
    Deliveries,
    DeliveryLost,
    DeliveryStatus,
    EndStatus,
    MailParts,
    Paused,
    Send,
    SendDecision,
    SkipDelivery,
)
from app.persistence.outcomes import Lease
from app.persistence.own_data import LinkKind
from worker.job import Job, Snooze
from worker.retries import RetryPolicy, doubled

T = TypeVar("T")
log = structlog.get_logger(__name__)

TIMEOUT: Final = timedelta(minutes=10)
"""Longer than the slowest SMTP dialogue: eight steps of 30 s, and 120 s for the final response (`MailLimits`)."""
REPEATABLE_WITHIN: Final = timedelta(hours=23)
"""How long a provider reliably remembers an idempotency key: Resend documents 24 hours."""
PAUSE_CHECK: Final = timedelta(minutes=1)
"""How often a delivery checks whether deliveries are still paused."""
RETRY_CALL: Final = 1.0
"""Seconds until a call to Supabase is repeated that got no response."""

delivery_retry_delay: Final = RetryPolicy(doubled(timedelta(seconds=30), timedelta(hours=1)))
"""Greylisting servers require some minutes. Twenty attempts last half a day, or until the next mail is due."""


class MailWriter:
    """Writes the mail of a delivery. Equal parts give equal bytes.

    Without `links`, the mail has no links to pages, and its reader unsubscribes by a mail to `sender`.
    """

    def __init__(self, sender: Mailbox, links: Links | None, renderer: DigestRenderer) -> None:
        self._sender = sender
        self._links = links
        self._renderer = renderer

    async def write(self, parts: MailParts) -> tuple[EmailMessage, MessageKey]:
        """Return the mail and its key. Raises `ValueError` if the stored data cannot be made into a mail."""
        key = MessageKey(parts.reader_id, parts.local_day, _key_kind(parts))
        common: dict[str, Any] = {
            "key": key,
            "sender": self._sender,
            "recipient": Mailbox(parts.email, parts.name),
            "date": parts.created_at,
        }
        if parts.kind == "confirmation":
            return confirmation_message(**common, link=self._confirm_link(parts)), key
        common["links"] = self._links_for(parts)
        match parts.kind:
            case "welcome":
                return welcome_message(**common), key
            case "download_link" | "delete_link" as kind:
                return link_message(kind, self._url(parts, kind), **common), key
            case "digest":
                if parts.digest is None:
                    raise ValueError("the digest was removed")
                digest = Digest.model_validate(parts.digest)
                return await digest_message(digest, self._renderer.render, **common), key

    def _url(self, parts: MailParts, kind: LinkKind) -> str:
        """Return the address of a requested link. Raises `ValueError` without LINK_SECRET or PUBLIC_URL."""
        if self._links is None:
            raise ValueError("links need LINK_SECRET and PUBLIC_URL, as the API has them")
        link = Link(parts.reader_id, parts.link_generation, parts.local_day)
        return link_url(self._links, kind, parts.delivery_id, link)

    def _confirm_link(self, parts: MailParts) -> str:
        if self._links is None:
            raise ValueError("a confirmation needs a link to a page: set PUBLIC_URL and LINK_SECRET on the worker")
        return self._links.url(CONFIRM, Link(parts.reader_id, parts.link_generation, parts.local_day))

    def _links_for(self, parts: MailParts) -> MailLinks:
        if self._links is None:
            return MailLinks.by_mail(self._sender)
        return MailLinks.signed(self._links, parts.reader_id, parts.link_generation, parts.local_day)


def _key_kind(parts: MailParts) -> str:
    """Return the kind in a mail's key. A reader may get several links on a day, and only one of all other kinds."""
    return f"{parts.kind}-{parts.delivery_id}" if parts.kind in LINK_PURPOSES else parts.kind


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
        """Send the mail, unless the delivery has ended.

        Raises `NotSent` if a later attempt may succeed, `InDoubt` if the next attempt resolves it, `PermanentError`,
        `LeaseLost`, `SupabaseError`, and `Snooze` while deliveries are paused.
        """
        try:
            delivery_id = DeliveryPayload.model_validate(job.task.payload).delivery_id
        except ValidationError as error:
            raise PermanentError(f"the delivery's payload cannot be read: {error}") from error
        attempt = _Attempt(self._deliveries, delivery_id, job.task.lease)
        match await attempt.begin(REPEATABLE_WITHIN if self._sender.idempotent else None, self._sender.sender_id):
            case Send() as send:
                return await self._send(attempt, send)
            case SkipDelivery(status=DeliveryStatus.FAILED, reason=reason):
                raise PermanentError(reason or "it was refused permanently")
            case SkipDelivery(status=status, reason=reason):
                return _result(status, reason)
            case Paused(reason=reason):
                raise Snooze(PAUSE_CHECK, f"deliveries are paused: {reason}")
            case DeliveryLost():
                raise LeaseLost(f"another lease holds the delivery {delivery_id}")
            case _ as never:
                assert_never(never)

    async def _send(self, attempt: "_Attempt", send: Send) -> dict[str, Any]:
        try:
            message, key = await self._write(attempt, send)
            sent = await self._sender.send(message, key)
        except asyncio.CancelledError:
            if not self._sender.idempotent:
                await attempt.release()
            raise
        except NotSent as error:
            if not send.begun_before:
                await _record_not_sent(attempt, error)
                raise
            # This attempt sent nothing, but an earlier one may have.
            return await _record_in_doubt(attempt, error, retry=error.transient)
        except InDoubt as error:
            # With an idempotency key, the next attempt sends the same mail under the same key and gets the outcome.
            return await _record_in_doubt(attempt, error, retry=error.repeatable)
        await attempt.end(DeliveryStatus.SENT, provider_id=sent.provider_id)
        return _result(DeliveryStatus.SENT)

    async def _write(self, attempt: "_Attempt", send: Send) -> tuple[EmailMessage, MessageKey]:
        """Write the mail. If this is impossible, record it and raise `PermanentError`."""
        try:
            return await self._writer.write(send.mail)
        except Exception as error:
            reason = f"the mail cannot be written: {error}"
            # An earlier attempt could write the mail, and may have sent it.
            await attempt.end(DeliveryStatus.IN_DOUBT if send.begun_before else DeliveryStatus.FAILED, reason)
            raise PermanentError(reason) from error


async def _record_not_sent(attempt: "_Attempt", error: NotSent) -> None:
    """Record that nothing was sent. Raises `PermanentError` if a retry cannot succeed."""
    if error.transient:
        await attempt.end(DeliveryStatus.PENDING, str(error))
        return
    await attempt.end(DeliveryStatus.FAILED, str(error), bounce=error.bounce)
    raise PermanentError(str(error)) from error


async def _record_in_doubt(attempt: "_Attempt", error: NotSent | InDoubt, *, retry: bool) -> dict[str, Any]:
    """Record that the mail may have been sent. Raises `error` if another attempt can find out (`retry`)."""
    if retry:
        await attempt.end(DeliveryStatus.SENDING, str(error))
        raise error
    await attempt.end(DeliveryStatus.IN_DOUBT, str(error))
    return _result(DeliveryStatus.IN_DOUBT, str(error))


class _Attempt:
    """An attempt to send a delivery under a lease. Its calls are repeated until Supabase responds."""

    def __init__(self, deliveries: Deliveries, delivery_id: UUID, lease: Lease) -> None:
        self._deliveries = deliveries
        self._delivery_id = delivery_id
        self._lease = lease

    async def begin(self, repeatable_within: timedelta | None, sender_id: str) -> SendDecision:
        """Request to send the delivery."""
        try:
            return await _retry_until_answered(
                lambda: self._deliveries.begin(
                    self._delivery_id, self._lease, repeatable_within=repeatable_within, sender_id=sender_id
                )
            )
        except asyncio.CancelledError:
            # With idempotency keys nothing is recorded: the next attempt sends the same mail.
            if repeatable_within is None:
                await self.release()
            raise

    async def release(self) -> None:
        """Record that nothing was sent, if this lease holds the delivery at all."""
        reason = "the worker stopped before it sent the mail"
        await _retry_until_answered(
            lambda: self._deliveries.end(self._delivery_id, self._lease, DeliveryStatus.PENDING, reason=reason)
        )

    async def end(
        self, status: EndStatus, reason: str | None = None, *, provider_id: str | None = None, bounce: bool = False
    ) -> None:
        """Record the outcome. Raises `LeaseLost` if this lease no longer holds the delivery."""
        recorded = await _retry_until_answered(
            lambda: self._deliveries.end(
                self._delivery_id, self._lease, status, reason=reason, provider_id=provider_id, bounce=bounce
            )
        )
        if not recorded:
            log.warning("outcome of a mail arrived too late", delivery_id=str(self._delivery_id), status=status.value)
            raise LeaseLost(f"another lease has taken over the delivery {self._delivery_id}")


async def _retry_until_answered(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call until Supabase responds: without a response, the delivery would end in doubt.

    The task's time limit ends the repetition.
    """
    while True:
        try:
            return await call()
        except SupabaseUnavailable as error:
            log.warning("call to Supabase repeated", error=str(error))
        await asyncio.sleep(RETRY_CALL)


def _result(status: DeliveryStatus, reason: str | None = None) -> dict[str, Any]:
    return {"status": status.value} | ({"reason": reason} if reason else {})
