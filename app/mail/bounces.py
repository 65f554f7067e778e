"""The provider's webhook: whether it is genuine, and what it says of an address.

Resend signs as Standard Webhooks asks, with Svix's names for the headers: https://resend.com/docs/webhooks/introduction
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
    """The request was not signed with our secret, is too old, or is no event: nothing of it may be believed."""

    status: ClassVar[HTTPStatus] = HTTPStatus.UNAUTHORIZED
    title: ClassVar[str] = "Webhook not accepted"


@dataclass(frozen=True, slots=True)
class Bounce:
    """What became known of an address; `permanent`: nothing should be sent there again."""

    address: str
    permanent: bool
    reason: str


class BounceReader:
    """Reads the webhook's requests; each of `secrets` (whsec_ and base64) may have signed them."""

    def __init__(self, secrets: Sequence[str]) -> None:
        try:
            self._webhooks = [Webhook(secret) for secret in secrets]
        except Exception as error:
            raise ConfigurationError(
                "RESEND_WEBHOOK_SECRET holds what is no secret of Standard Webhooks: whsec_ and base64."
            ) from error

    def read(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Bounce]:
        """Return what a request says of its addresses; nothing for an event of another kind. May come twice.

        Raises `InvalidWebhook`, also for a body of more than `MAX_BODY` bytes.
        """
        if len(body) > MAX_BODY or not self._is_signed(body, headers):
            raise InvalidWebhook("The request does not carry a valid, fresh signature.")
        try:
            event = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidWebhook("The body is no JSON.") from error
        return _bounces(event)

    def _is_signed(self, body: bytes, headers: Mapping[str, str]) -> bool:
        names = {name.lower(): value for name, value in headers.items()}
        signed = {f"webhook-{part}": names.get(f"svix-{part}", "") for part in ("id", "timestamp", "signature")}
        return any(_verifies(webhook, body, signed) for webhook in self._webhooks)


def _verifies(webhook: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except Exception:  # noqa: BLE001  (hostile headers make the library raise all sorts of things)
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
    words = [part.get(name) for name in ("type", "subType", "message")]
    return ", ".join(word for word in words if isinstance(word, str)) or "no reason given"


def _addresses(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [plain(one, _MAX_ADDRESS) for one in listed[:_MAX_ADDRESSES] if isinstance(one, str) and "@" in one]
