"""Sending through Resend's HTTP API with an idempotency key: a lost response is resolved by repeating the request.

Documentation: https://resend.com/docs/api-reference/emails/send-email and /docs/dashboard/emails/idempotency-keys
"""

import asyncio
import json
from datetime import UTC, datetime
from email.headerregistry import AddressHeader
from email.message import EmailMessage
from http import HTTPStatus
from typing import Any, ClassVar, Final, Literal

import httpx

from app.external.retry_after import retry_after
from app.mail.message import MessageKey
from app.mail.sender import InDoubt, MailLimits, NotSent, SendLimiter, Sent, finish_despite_cancellation, sender_id_of
from app.sources.text import plain

API: Final = "https://api.resend.com"
_MAX_RESPONSE: Final = 64_000
_MAX_REASON: Final = 300
# Resend sets the other headers: date, Message-ID and the parts.
_FORWARDED_HEADERS: Final = ("List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Auto-Submitted")
# Errors before any part of the request was sent.
_BEFORE_SENDING: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# Errors of the account or its key, not of the mail.
_ACCOUNT_ERRORS: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN)


class ResendSender:
    """Sends through the process's client for external services."""

    idempotent: ClassVar[bool] = True

    def __init__(self, http: httpx.AsyncClient, key: str, limits: MailLimits, api: str = API) -> None:
        self._http = http
        self._key = key
        self._limits = limits
        self._url = f"{api}/emails"
        self._limiter = SendLimiter(limits)

    @property
    def sender_id(self) -> str:
        """The id of the account: another key may belong to another account, which does not know these mails."""
        return sender_id_of("resend", self._key)

    async def send(self, message: EmailMessage, key: MessageKey) -> Sent:
        """Send one mail. The provider keeps the key for 24 hours; a mail in doubt can be repeated only until then."""
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
                    content = _read_json(await _read_limited(response))
                finally:
                    await response.aclose()
        except _BEFORE_SENDING as error:
            raise NotSent(f"Resend cannot be reached: {type(error).__name__}: {error}", transient=True) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise InDoubt(f"the response of Resend was lost: {type(error).__name__}", repeatable=True) from error
        if response.is_success:
            name = content.get("id")
            return Sent(plain(name, _MAX_REASON) if isinstance(name, str) else None)
        raise _error_of(response, content)


def _payload(message: EmailMessage) -> dict[str, Any]:
    return {
        "from": _mailboxes(message["From"])[0],
        "to": _mailboxes(message["To"]),
        "subject": str(message["Subject"]),
        "text": _content(message, "plain"),
        "html": _content(message, "html"),
        "headers": {name: str(message[name]) for name in _FORWARDED_HEADERS if name in message},
    }


def _content(message: EmailMessage, kind: Literal["plain", "html"]) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""


def _mailboxes(header: AddressHeader) -> list[str]:
    return [str(address) for address in header.addresses]


async def _read_limited(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_RESPONSE:
            return b""
    return body


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _error_of(response: httpx.Response, content: dict[str, Any]) -> NotSent | InDoubt:
    status, name = response.status_code, str(content.get("name", ""))
    reason = plain(f"Resend responded {status} {name} {content.get('message', '')}", _MAX_REASON)
    if status == HTTPStatus.CONFLICT:
        # A mail with other content was accepted under this key, or one is in progress and a repeat resolves it.
        return InDoubt(reason, repeatable=name == "concurrent_idempotent_requests")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return InDoubt(reason, repeatable=True)
    transient = status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT, *_ACCOUNT_ERRORS)
    return NotSent(reason, transient=transient, retry_after=retry_after(response.headers, datetime.now(UTC)))
