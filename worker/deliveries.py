"""The handler of callback tasks: reads what the database put into them, delivers it, and says when to try again."""

from datetime import timedelta
from random import Random
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import PermanentError
from worker.callbacks import CallbackSender, DeliveryFailed
from worker.job import Job

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
            # Without the values: the address may hold its receiver's secrets.
            first = error.errors(include_input=False, include_url=False)[0]
            raise PermanentError(f"the callback's payload cannot be read: {first['loc']}: {first['msg']}") from None
        status = await self._sender.send(payload.url, f"msg_{job.task.task_id}", payload.event)
        return {"status": status}
