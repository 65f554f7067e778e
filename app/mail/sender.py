"""What every way of sending a mail promises: to say truly whether it was sent, surely was not, or may have been."""

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
    """The mail was taken over by the next server; `provider_id` is the provider's name for it, if it has one."""

    provider_id: str | None = None


class MailError(BroadsheetError):
    """Base of what sending a mail can end with besides `Sent`."""

    status = HTTPStatus.BAD_GATEWAY
    title = "Mail error"


class NotSent(MailError):
    """Surely nothing was sent.

    `transient`: it may go better later, at the earliest after `retry_after` seconds if that is known. `bounce`: the
    recipient's address does not exist, so that nothing should go there again.
    """

    title = "Mail not sent"

    def __init__(self, reason: str, *, transient: bool, bounce: bool = False, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.transient = transient
        self.bounce = bounce
        self.retry_after = retry_after


class InDoubt(MailError):
    """Nobody here can know whether the mail was sent.

    `repeatable`: sending the same mail under the same key again resolves it, and never makes two of it.
    """

    title = "Mail in doubt"

    def __init__(self, reason: str, *, repeatable: bool) -> None:
        super().__init__(reason)
        self.repeatable = repeatable


class MailSender(Protocol):
    """A way to send mails. It is safe to use from many tasks at once."""

    idempotent: ClassVar[bool]
    """Whether the same mail under the same key may be sent again when it is in doubt, also after a process died."""

    @property
    def sender_id(self) -> str:
        """Names the account that sends, without its key: only the account that began a mail can repeat it."""
        ...

    async def send(self, message: EmailMessage, key: MessageKey) -> Sent:
        """Send one mail to its one recipient.

        Raises `NotSent` and `InDoubt`. A cancellation (`CancelledError`) leaves this method only while surely nothing
        was sent; later it is finish_despite_cancellation back for the few seconds that the answer may take, and what became of the mail is
        returned or raised as if nobody had cancelled.
        """
        ...


@dataclass(frozen=True, slots=True)
class MailLimits:
    """How many, how fast, and how long; all times in seconds."""

    concurrency: int = 2
    per_second: float = 10.0
    step_timeout: float = 30.0
    """For each step of the conversation before the mail's content."""
    response_timeout: float = 120.0
    """For the answer that decides. RFC 5321 (4.5.3.2.6) advises patience: who gives up here leaves a doubt."""
    cancel_grace: float = 10.0
    """For that answer once the send was cancelled."""
    idle_timeout: float = 20.0
    """An SMTP connection is closed after so long without a mail; servers do it after 30 or more."""
    mails_per_connection: int = 100
    """Many servers refuse more."""


def sender_id_of(kind: str, account: str) -> str:
    """Return an HMAC under the account's key (or name): the same for the same account, and of no use without it."""
    return f"{kind}:{hmac.digest(account.encode(), f'broadsheet sender {kind}'.encode(), 'sha256').hex()[:32]}"


class SendLimiter:
    """Lets at most `concurrency` mails out local_service and at most `per_second` begin in a second, in their order."""

    def __init__(self, limits: MailLimits) -> None:
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._interval = 1 / limits.per_second
        self._next = float("-inf")

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it for the block."""
        async with self._slots:
            now = asyncio.get_running_loop().time()
            begin = max(now, self._next)
            self._next = begin + self._interval
            await asyncio.sleep(begin - now)
            yield


async def finish_despite_cancellation(outcome: Coroutine[Any, Any, T], seconds: float, *, repeatable: bool) -> T:
    """Await what can no longer be undone: a cancellation waits up to `seconds` for it.

    `outcome` raises nothing but `NotSent` and `InDoubt`, and this raises `InDoubt` when the time is over or a
    second cancellation comes.
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
        raise InDoubt("the process was told to stop before the answer came", repeatable=repeatable) from None
