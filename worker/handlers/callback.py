"""A callback task: delivered signed as Standard Webhooks asks, to public addresses only, under one stable id.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from random import Random
from typing import Any, Final

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError
from standardwebhooks import Webhook

from app.errors import BroadsheetError, PermanentError
from app.external.callback_urls import checked_callback_url
from app.external.client import PUBLIC_ONLY, AddressNotPublic, ExternalClient
from app.external.retry_after import retry_after
from worker.job import Job

DELIVERY_TIMEOUT = 15.0
"""Seconds for a whole delivery; the specification suggests 15 to 30."""


class DeliveryFailed(BroadsheetError):
    """The receiver could not be reached or did not answer 2xx: the queue tries again.

    `retry_after` are the seconds that it asked for, if it did. Like every error here this one names the receiver's
    host alone: the rest of an address may hold secrets.
    """

    title = "Callback not delivered"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CallbackSender:
    """Sends callbacks through the process's client for the outside world.

    Every delivery carries a signature by each of `webhooks`, so that receivers can move from one secret to the next.
    With `private`, plain http and private addresses are allowed: for development and tests.
    """

    def __init__(self, http: ExternalClient, webhooks: Sequence[Webhook], *, private: bool = False) -> None:
        self._http = http
        self._webhooks = webhooks
        self._private = private

    async def send(self, url: str, webhook_id: str, body: dict[str, Any]) -> int:
        """Deliver `body` and return the receiver's status.

        Raises `PermanentError` for an address that will never do, or when the receiver answers 410 Gone;
        `DeliveryFailed` for everything that may go better the next time.
        """
        target = self._readable(url)
        text = json.dumps(body, separators=(",", ":"))
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT):
                answer = await self._post(target, self._signed(webhook_id, text), text)
        except AddressNotPublic as error:
            raise PermanentError(
                f"the callback's host {target.host} is not public; CALLBACKS_TO_PRIVATE_ADDRESSES allows that"
            ) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise DeliveryFailed(f"{target.host}: {type(error).__name__}: {error}") from error
        except ValueError as error:
            raise PermanentError(f"the callback's host {target.host} is none that can be called: {error}") from error
        if answer.status_code == HTTPStatus.GONE:
            raise PermanentError(f"{target.host} answered 410 Gone: it wants no callbacks")
        if not answer.is_success:
            raise DeliveryFailed(
                f"{target.host} answered {answer.status_code}; only 2xx is a delivery",
                retry_after=retry_after(answer.headers, datetime.now(UTC)),
            )
        return answer.status_code

    def _signed(self, webhook_id: str, text: str) -> dict[str, str]:
        # The time only tells the receiver how fresh the message is; nothing here is decided by it.
        now = datetime.now(UTC)
        return {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(webhook.sign(webhook_id, now, text) for webhook in self._webhooks),
        }

    async def _post(self, url: httpx.URL, headers: dict[str, str], text: str) -> httpx.Response:
        extensions = {} if self._private else PUBLIC_ONLY
        request = self._http.build_request("POST", url, content=text, headers=headers, extensions=dict(extensions))
        response = await self._http.send(request, stream=True, follow_redirects=False)
        await response.aclose()
        return response

    def _readable(self, url: str) -> httpx.URL:
        """`url` as an address that may be called as far as its text says. Raises `PermanentError`."""
        try:
            return checked_callback_url(url, private=self._private)
        except ValueError as error:
            raise PermanentError(f"the callback's address cannot be called: {error}") from error


SCHEDULE: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""Between one attempt and the next, three days in all, as the specification of Standard Webhooks suggests.

`enqueue_callback()` gives a callback one attempt more than there are delays here.
"""

JITTER: Final = 0.2


def callback_delay(attempt: int, error: BaseException, random: Random) -> timedelta:
    """The time until the next attempt by `SCHEDULE`, a fifth more or less, but no less than the receiver asked for."""
    planned = SCHEDULE[min(attempt, len(SCHEDULE)) - 1] * random.uniform(1 - JITTER, 1 + JITTER)
    asked = error.retry_after if isinstance(error, DeliveryFailed) else None
    return max(planned, timedelta(seconds=asked or 0.0))


class CallbackPayload(BaseModel):
    """The payload of a callback task, as `enqueue_callback()` writes it."""

    model_config = ConfigDict(frozen=True)

    url: str
    event: dict[str, Any]


class CallbackHandler:
    """Delivers one callback under one `webhook-id`, the id of its task, however often it is tried."""

    def __init__(self, sender: CallbackSender | None) -> None:
        self._sender = sender

    async def __call__(self, job: Job) -> dict[str, Any]:
        """Deliver. Raises `PermanentError`, `DeliveryFailed`."""
        if self._sender is None:
            raise PermanentError("callbacks cannot be signed: set WEBHOOK_SECRET for the worker")
        try:
            payload = CallbackPayload.model_validate(job.task.payload)
        except ValidationError as error:
            # Not its values: the address may hold its receiver's secrets.
            first = error.errors()[0]
            raise PermanentError(f"the callback's payload cannot be read: {first['loc']}: {first['msg']}") from None
        status = await self._sender.send(payload.url, f"msg_{job.task.task_id}", payload.event)
        return {"status": status}
