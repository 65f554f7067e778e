"""Verification and parsing of the provider's webhook events about bounced addresses.

Resend follows Standard Webhooks, with Svix's header names: https://resend.com/docs/webhooks/introduction
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Final

from standardwebhooks import Webhook

from app.errors import BroadsheetError, ConfigurationError
from app.sources.text import plain

MAX_BODY: Final = 256_000
_MAX_REASON: Final = 300
_MAX_ADDRESSES: Final = 50
_MAX_ADDRESS: Final = 254


class InvalidWebhook(BroadsheetError):
    """The request is not signed with our secret, is too old, or is not an event. Its content is not trusted."""

    status: ClassVar[HTTPStatus] = HTTPStatus.UNAUTHORIZED
    title: ClassVar[str] = "Webhook rejected"


@dataclass(frozen=True, slots=True)
class Bounce:
    """A failed address. If `permanent`, no more mails should be sent to it."""

    address: str
    permanent: bool
    reason: str


class BounceReader:
    """Verifies and parses webhook requests. Any of `secrets` (whsec_ and base64) may have signed them."""

    def __init__(self, secrets: Sequence[str]) -> None:
        try:
            self._webhooks = [Webhook(secret) for secret in secrets]
        except Exception as error:
            raise ConfigurationError(
                "RESEND_WEBHOOK_SECRET contains an invalid secret: a Standard Webhooks secret is whsec_ and base64."
            ) from error

    def read(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Bounce]:
        """Return the bounces in a request; empty for other events. The provider may send an event twice.

        Raises `InvalidWebhook`, also for a body of more than `MAX_BODY` bytes.
        """
        if len(body) > MAX_BODY or not self._is_signed(body, headers):
            raise InvalidWebhook("The request has no valid, recent signature.")
        try:
            event = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidWebhook("The body is not valid JSON.") from error
        return _bounces(event)

    def _is_signed(self, body: bytes, headers: Mapping[str, str]) -> bool:
        names = {name.lower(): value for name, value in headers.items()}
        signed = {f"webhook-{part}": names.get(f"svix-{part}", "") for part in ("id", "timestamp", "signature")}
        return any(_verifies(webhook, body, signed) for webhook in self._webhooks)


def _verifies(webhook: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except Exception:  # noqa: BLE001  (malformed headers make the library raise many exception types)
        return False
    return True


def _bounces(event: Any) -> Sequence[Bounce]:
    data = event.get("data") if isinstance(event, dict) else None
    if not isinstance(data, dict):
        return ()
    match event.get("type"):
        case "email.bounced":
            bounce = _dictionary(data, "bounce")
            permanent, reason = bounce.get("type") == "Permanent", f"bounced: {_reason_of(bounce)}"
        case "email.suppressed":
            permanent, reason = True, f"suppressed by the provider: {_reason_of(_dictionary(data, 'suppressed'))}"
        case "email.complained":
            permanent, reason = True, "the reader marked a mail as spam"
        case _:
            return ()
    return [Bounce(address, permanent, plain(reason, _MAX_REASON)) for address in _addresses(data.get("to"))]


def _dictionary(data: dict[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _reason_of(part: dict[str, Any]) -> str:
    texts = [part.get(name) for name in ("type", "subType", "message")]
    return ", ".join(text for text in texts if isinstance(text, str)) or "no reason given"


def _addresses(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [plain(each, _MAX_ADDRESS) for each in values[:_MAX_ADDRESSES] if isinstance(each, str) and "@" in each]
