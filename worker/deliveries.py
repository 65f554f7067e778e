"""The handler of callback tasks: reads what the database put into them and delivers it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import PermanentError
from worker.callbacks import CallbackSender
from worker.job import Job


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
            raise PermanentError(f"the callback's payload cannot be read: {error}") from error
        status = await self._sender.send(payload.url, f"msg_{job.task.task_id}", payload.event)
        return {"status": status}
