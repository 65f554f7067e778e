"""Mails by Resend's HTTP API, under an idempotency key: a lost answer is resolved by asking again.

Documentation: https://resend.com/docs/api-reference/emails/send-email and /docs/dashboard/emails/idempotency-keys
"""

import asyncio
import json
from email.headerregistry import AddressHeader
from email.message import EmailMessage
from http import HTTPStatus
from typing import Any, ClassVar, Final, Literal

import httpx

from app.mail.message import MessageKey
from app.mail.sender import InDoubt, MailLimits, NotSent, SendLimiter, Sent, finish_despite_cancellation, sender_id_of
from app.sources.text import plain

API: Final = "https://api.resend.com"
_MAX_ANSWER: Final = 64_000
_MAX_REASON: Final = 300
_MOST_DIGITS: Final = 5  # a day of seconds has five
# Resend writes the others itself: date, Message-ID and the parts.
_PASSED_ON: Final = ("List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Auto-Submitted")
# Nothing of the request can have left.
_NEVER_LEFT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# The account or its key is at fault, not this mail.
_ACCOUNT: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN)


class ResendSender:
    """Sends through the process's client for the outside world."""

    idempotent: ClassVar[bool] = True

    def __init__(self, http: httpx.AsyncClient, key: str, limits: MailLimits, api: str = API) -> None:
        self._http = http
        self._key = key
        self._limits = limits
        self._url = f"{api}/emails"
        self._limiter = SendLimiter(limits)

    @property
    def sender_id(self) -> str:
        """Of the account's key: another key may be another account's, which knows none of this one's mails."""
        return sender_id_of("resend", self._key)

    async def send(self, message: EmailMessage, key: MessageKey) -> Sent:
        """Send, as `MailSender` says. The provider keeps the key for 24 hours: in doubt, only so long send again."""
        body = json.dumps(_payload(message), separators=(",", ":")).encode()
        async with self._limiter.slot():
            return await finish_despite_cancellation(self._post(body, key), self._limits.cancel_grace, repeatable=True)

    async def _post(self, body: bytes, key: MessageKey) -> Sent:
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Idempotency-Key": str(key),
            "User-Agent": "Broadsheet",
        }
        timeout = httpx.Timeout(self._limits.step_timeout, read=self._limits.response_timeout)
        request = self._http.build_request("POST", self._url, content=body, headers=headers, timeout=timeout)
        try:
            async with asyncio.timeout(self._limits.response_timeout):
                response = await self._http.send(request, stream=True, follow_redirects=False)
                try:
                    answer = _read_json(await _capped(response))
                finally:
                    await response.aclose()
        except _NEVER_LEFT as error:
            raise NotSent(f"Resend cannot be reached: {type(error).__name__}: {error}", transient=True) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise InDoubt(f"Resend's answer was lost: {type(error).__name__}", repeatable=True) from error
        if response.is_success:
            name = answer.get("id")
            return Sent(plain(name, _MAX_REASON) if isinstance(name, str) else None)
        raise _refusal(response, answer)


def _payload(message: EmailMessage) -> dict[str, Any]:
    return {
        "from": _mailboxes(message["From"])[0],
        "to": _mailboxes(message["To"]),
        "subject": str(message["Subject"]),
        "text": _content(message, "plain"),
        "html": _content(message, "html"),
        "headers": {name: str(message[name]) for name in _PASSED_ON if name in message},
    }


def _content(message: EmailMessage, kind: Literal["plain", "html"]) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""


def _mailboxes(header: AddressHeader) -> list[str]:
    return [str(address) for address in header.addresses]


async def _capped(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_ANSWER:
            return b""
    return body


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _refusal(response: httpx.Response, answer: dict[str, Any]) -> NotSent | InDoubt:
    status, name = response.status_code, str(answer.get("name", ""))
    reason = plain(f"Resend answered {status} {name} {answer.get('message', '')}", _MAX_REASON)
    if status == HTTPStatus.CONFLICT:
        # Under this key a mail of other bytes was taken, or one is just being taken: then asking again tells.
        return InDoubt(reason, repeatable=name == "concurrent_idempotent_requests")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return InDoubt(reason, repeatable=True)
    transient = status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT, *_ACCOUNT)
    return NotSent(reason, transient=transient, retry_after=_retry_after(response))


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
