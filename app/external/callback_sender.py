"""Sends signed callbacks as Standard Webhooks specifies, to public addresses only.

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

from app.errors import BroadsheetError, PermanentError
from app.external.callback_urls import checked_callback_url
from app.external.client import PUBLIC_ONLY, AddressNotPublic, ExternalClient
from app.external.retry_after import retry_after
from app.tracing.http_client import PROPAGATED

DELIVERY_TIMEOUT = 15.0
"""Seconds for one request; the specification suggests 15 to 30."""


class DeliveryFailed(BroadsheetError):
    """The receiver could not be reached or did not respond with 2xx. The queue retries.

    `retry_after`: the seconds in the receiver's Retry-After header, if any. All errors of callbacks contain only the
    receiver's host, because the rest of the URL may contain secrets.
    """

    title = "Callback not delivered"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CallbackSender:
    """Sends callbacks through the process's client for external servers.

    Every request has a signature of each of `webhooks`, so that receivers can switch from one secret to the next.
    `private` allows plain http and private addresses, for development and tests.
    """

    def __init__(self, http: ExternalClient, webhooks: Sequence[Webhook], *, private: bool = False) -> None:
        self._http = http
        self._webhooks = webhooks
        self._private = private

    async def send(self, url: str, webhook_id: str, body: dict[str, Any]) -> int:
        """Send `body` and return the receiver's HTTP status.

        Raises `PermanentError` if the URL can never work, or if the receiver responds with 410 Gone; `DeliveryFailed`
        if a retry may succeed.
        """
        target = self._checked_url(url)
        text = json.dumps(body, separators=(",", ":"))
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT):
                response = await self._post(target, self._signed(webhook_id, text), text)
        except AddressNotPublic as error:
            raise PermanentError(
                f"the callback's host {target.host} is not public; CALLBACKS_TO_PRIVATE_ADDRESSES allows it"
            ) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise DeliveryFailed(f"{target.host}: {type(error).__name__}: {error}") from error
        except ValueError as error:
            raise PermanentError(f"the callback's host {target.host} cannot be called: {error}") from error
        if response.status_code == HTTPStatus.GONE:
            raise PermanentError(f"{target.host} responded with 410 Gone: it accepts no callbacks any more")
        if not response.is_success:
            raise DeliveryFailed(
                f"{target.host} responded with {response.status_code}; only 2xx counts as delivered",
                retry_after=retry_after(response.headers, datetime.now(UTC)),
            )
        return response.status_code

    def _signed(self, webhook_id: str, text: str) -> dict[str, str]:
        # Only the receiver uses this time, to check the age of the message.
        now = datetime.now(UTC)
        return {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(webhook.sign(webhook_id, now, text) for webhook in self._webhooks),
        }

    async def _post(self, url: httpx.URL, headers: dict[str, str], text: str) -> httpx.Response:
        extensions = PROPAGATED if self._private else PROPAGATED | PUBLIC_ONLY
        request = self._http.build_request("POST", url, content=text, headers=headers, extensions=dict(extensions))
        response = await self._http.send(request, stream=True, follow_redirects=False)
        await response.aclose()
        return response

    def _checked_url(self, url: str) -> httpx.URL:
        """Parse `url` and check that it may be called, before its host is resolved. Raises `PermanentError`."""
        try:
            return checked_callback_url(url, private=self._private)
        except ValueError as error:
            raise PermanentError(f"the callback's URL cannot be called: {error}") from error
