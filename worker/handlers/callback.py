"""Callback tasks: deliver a signed event under a stable id, with the delays that Standard Webhooks suggests."""

from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import PermanentError
from app.external.callback_sender import CallbackSender
from worker.job import Job
from worker.retries import RetryPolicy

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
"""Delays between attempts, three days in total, as the specification of Standard Webhooks suggests.

`enqueue_callback()` gives a callback one attempt more than there are delays.
"""

callback_retry_delay: Final = RetryPolicy(SCHEDULE)


class CallbackPayload(BaseModel):
    """The payload of a callback task, as `enqueue_callback()` writes it."""

    model_config = ConfigDict(frozen=True)

    url: str
    event: dict[str, Any]


class CallbackHandler:
    """Delivers a callback. All attempts have the same `webhook-id`, the id of the task."""

    def __init__(self, sender: CallbackSender | None) -> None:
        self._sender = sender

    async def __call__(self, job: Job) -> dict[str, Any]:
        """Deliver the callback. Raises `PermanentError`, `DeliveryFailed`."""
        if self._sender is None:
            raise PermanentError("callbacks cannot be signed: set WEBHOOK_SECRET for the worker")
        try:
            payload = CallbackPayload.model_validate(job.task.payload)
        except ValidationError as error:
            # Without its values: the URL may contain secrets of the receiver.
            first = error.errors()[0]
            raise PermanentError(f"the callback's payload cannot be read: {first['loc']}: {first['msg']}") from None
        return {"status": await self._sender.send(payload.url, f"msg_{job.task.task_id}", payload.event)}
