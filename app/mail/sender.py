"""The interface of mail senders: a mail was sent, was not sent, or is in doubt."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from http import HTTPStatus
from typing import Any, ClassVar, Protocol, TypeVar

from app.errors import BroadsheetError
from app.mail.message import MessageKey

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sent:
    """The next server accepted the mail. `provider_id` is the provider's id, if it has one."""

    provider_id: str | None = None


class MailError(BroadsheetError):
    """Base of the errors of sending."""

    status = HTTPStatus.BAD_GATEWAY
    title = "Mail error"


class NotSent(MailError):
    """The mail was certainly not sent.

    `transient`: a retry may succeed, after `retry_after` seconds if that is known. `bounce`: the recipient's address
    does not exist, so no more mails should be sent to it.
    """

    title = "Mail not sent"

    def __init__(self, reason: str, *, transient: bool, bounce: bool = False, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.transient = transient
        self.bounce = bounce
        self.retry_after = retry_after


class InDoubt(MailError):
    """It is unknown whether the mail was sent.

    `repeatable`: sending the same mail again under the same key resolves the doubt and never sends it twice.
    """

    title = "Mail in doubt"

    def __init__(self, reason: str, *, repeatable: bool) -> None:
        super().__init__(reason)
        self.repeatable = repeatable


class MailSender(Protocol):
    """Sends mails. It is safe to use from many tasks at once."""

    idempotent: ClassVar[bool]
    """Whether a mail in doubt may be sent again under the same key, also after a crash."""

    @property
    def sender_id(self) -> str:
        """Identifies the sending account without revealing its key. Only the same account can repeat a mail."""
        ...

    async def send(self, message: EmailMessage, key: MessageKey) -> Sent:
        """Send one mail to its one recipient.

        Raises `NotSent` and `InDoubt`. `CancelledError` is raised only while the mail is certainly not sent. Later, a
        cancellation is delayed for the few seconds until the response, and the mail's outcome is returned or raised.
        """
        ...


@dataclass(frozen=True, slots=True)
class MailLimits:
    """Limits of sending. All times are in seconds."""

    concurrency: int = 2
    per_second: float = 10.0
    step_timeout: float = 30.0
    """For each step of the protocol before the mail's content."""
    response_timeout: float = 120.0
    """For the final response. RFC 5321 (4.5.3.2.6) recommends patience: a timeout here leaves the mail in doubt."""
    cancel_grace: float = 10.0
    """For the final response after the send was cancelled."""
    idle_timeout: float = 20.0
    """An SMTP connection without mails is closed after this time; servers close it after 30 or more."""
    mails_per_connection: int = 100
    """Many servers accept no more."""


def sender_id_of(kind: str, account: str) -> str:
    """Return an HMAC with the account's key or name: stable for an account, and it does not reveal the key."""
    return f"{kind}:{hmac.digest(account.encode(), f'broadsheet sender {kind}'.encode(), 'sha256').hex()[:32]}"


class SendLimiter:
    """Allows `concurrency` mails at a time and `per_second` starts per second, in order of arrival."""

    def __init__(self, limits: MailLimits) -> None:
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._interval = 1 / limits.per_second
        self._next = float("-inf")

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it for the block."""
        async with self._slots:
            now = asyncio.get_running_loop().time()
            begin = max(now, self._next)
            self._next = begin + self._interval
            await asyncio.sleep(begin - now)
            yield


async def finish_despite_cancellation(outcome: Coroutine[Any, Any, T], seconds: float, *, repeatable: bool) -> T:
    """Await a step that cannot be undone. A cancellation waits up to `seconds` for it.

    `outcome` raises only `NotSent` and `InDoubt`. Raises `InDoubt` after the timeout or at a second cancellation.
    """
    task = asyncio.ensure_future(outcome)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        pass
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(task)
    except (asyncio.CancelledError, TimeoutError):
        task.cancel()
        raise InDoubt("the process stopped before the response arrived", repeatable=repeatable) from None
