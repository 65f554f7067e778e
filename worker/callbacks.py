"""Delivers a callback: signed as Standard Webhooks asks, to public addresses only, under one stable id.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import httpx
from standardwebhooks import Webhook

from app.addresses import Resolve, is_public, resolve
from app.errors import BroadsheetError, PermanentError

DELIVERY_TIMEOUT = 15.0
"""Seconds for a whole delivery; the specification suggests 15 to 30."""

DEFAULT_PORTS = {"https": 443, "http": 80}


class DeliveryFailed(BroadsheetError):
    """The receiver could not be reached or did not answer 2xx: the queue tries again."""

    title = "Callback not delivered"


class CallbackSender:
    """Sends callbacks through the process's client for the outside world.

    Every delivery carries a signature by each of `webhooks`, so that receivers can move from one secret to the next.
    With `private`, plain http and private addresses are allowed: for development and tests.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        webhooks: Sequence[Webhook],
        *,
        private: bool = False,
        resolve: Resolve = resolve,
    ) -> None:
        self._http = http
        self._webhooks = webhooks
        self._private = private
        self._resolve = resolve

    async def send(self, url: str, webhook_id: str, body: dict[str, Any]) -> int:
        """Deliver `body` and return the receiver's status.

        Raises `PermanentError` for an address that will never do, or when the receiver answers 410 Gone;
        `DeliveryFailed` for everything that may go better the next time.
        """
        target = await self._checked(url)
        text = json.dumps(body, separators=(",", ":"))
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT):
                status = await self._post(httpx.URL(url), target, self._signed(webhook_id, text), text)
        except (httpx.HTTPError, TimeoutError) as error:
            raise DeliveryFailed(f"{httpx.URL(url).host}: {type(error).__name__}: {error}") from error
        if status == HTTPStatus.GONE:
            raise PermanentError(f"{httpx.URL(url).host} answered 410 Gone: it wants no callbacks")
        if not httpx.codes.is_success(status):
            raise DeliveryFailed(f"{httpx.URL(url).host} answered {status}; only 2xx is a delivery")
        return status

    def _signed(self, webhook_id: str, text: str) -> dict[str, str]:
        # The time only tells the receiver how fresh the message is; nothing here is decided by it.
        now = datetime.now(UTC)
        return {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(webhook.sign(webhook_id, now, text) for webhook in self._webhooks),
        }

    async def _post(self, url: httpx.URL, target: httpx.URL, headers: dict[str, str], text: str) -> int:
        # Connect to the very address that was checked: a name that resolves differently a moment later gains nothing.
        headers = headers | {"host": url.netloc.decode("ascii")}
        extensions = {"sni_hostname": url.host} if url.scheme == "https" else {}
        request = self._http.build_request("POST", target, content=text, headers=headers, extensions=extensions)
        response = await self._http.send(request, stream=True, follow_redirects=False)
        await response.aclose()
        return response.status_code

    async def _checked(self, url: str) -> httpx.URL:
        """`url` with its host resolved to an address that may be called. Raises `PermanentError`, `DeliveryFailed`."""
        parsed = httpx.URL(url)
        if parsed.scheme != "https" and not (self._private and parsed.scheme == "http"):
            raise PermanentError(f"the callback address {url} is not https; CALLBACKS_TO_PRIVATE_ADDRESSES allows http")
        try:
            addresses = await self._resolve(parsed.host, parsed.port or DEFAULT_PORTS[parsed.scheme])
        except OSError as error:
            raise DeliveryFailed(f"{parsed.host} cannot be resolved: {error}") from error
        if not self._private and not all(map(is_public, addresses)):
            raise PermanentError(
                f"the callback address {url} is not public; CALLBACKS_TO_PRIVATE_ADDRESSES allows that"
            )
        if not addresses:
            raise DeliveryFailed(f"{parsed.host} has no address")
        return parsed.copy_with(host=addresses[0])
