"""Shared by the task routes: creation with an idempotency key, reading a task of one kind, response headers."""

from http import HTTPStatus
from typing import Annotated, Any, cast
from uuid import UUID, uuid4

import structlog
from fastapi import Depends, Header, Request, Response

from app.api.auth import Caller, CallerOf
from app.api.models import BatchRequest, TaskRequest, TaskView, task_url
from app.api.problems import Problem
from app.config import ApiSettings
from app.errors import BroadsheetError, TaskNotFound
from app.external.callback_urls import checked_callback_url
from app.models.tasks import Task, TaskKind, TaskStatus
from app.persistence.digests import StoredDigest
from app.persistence.idempotency_keys import CallerKey
from app.persistence.new_task import NewTask
from app.persistence.operator import Actor
from app.services import Services

POLL_AFTER = "2"
"""Seconds; the `Retry-After` header while a task is unfinished."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="A repeated request with the same key returns the first request's task.",
    ),
]

UNAUTHORIZED: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "The API key is missing or unknown"}
}
UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: {"model": Problem, "description": "Supabase is unavailable"}}
INVALID: dict[int | str, dict[str, Any]] = {422: {"model": Problem, "description": "The request is invalid"}}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "Not found"}}
CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "Not possible in the current status"}
}
FORBIDDEN: dict[int | str, dict[str, Any]] = {403: {"model": Problem, "description": "The caller is not an admin"}}
QUOTA: dict[int | str, dict[str, Any]] = {429: {"model": Problem, "description": "The daily quota is exceeded"}}
BODY_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is not JSON"},
    413: {"model": Problem, "description": "The body is too large"},
}
COMMON_ERRORS = UNAUTHORIZED | INVALID | UNAVAILABLE


class CallbackRefused(BroadsheetError):
    """The callback URL is one that the worker never calls."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Callback address refused"


class CallbacksNotConfigured(BroadsheetError):
    """The request has a callback URL, but the server has no secret to sign callbacks."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Callbacks are not configured"


async def get_services(request: Request) -> Services:
    """Return the services of the running application."""
    return cast(Services, request.app.state.services)


ServicesOf = Annotated[Services, Depends(get_services)]


class TaskCreator:
    """Creates tasks for a request, with its idempotency key, callback URL and request id."""

    def __init__(self, services: Services, settings: ApiSettings, caller: Caller, idempotency_key: str | None) -> None:
        self._services = services
        self._settings = settings
        self._caller = caller
        self._key = idempotency_key

    async def create(self, kind: TaskKind, payload: dict[str, Any], body: TaskRequest) -> Task:
        """Create the task, or return the one that the same key created. Raises `BroadsheetError`."""
        return await self._services.tasks.create_task_with_source_date(
            task_id=uuid4(),
            kind=kind,
            payload=self._checked_payload(payload, body),
            source_date=body.source_date,
            callback_url=body.callback_url,
            idempotency_key=CallerKey(self._key, body.sent) if self._key is not None else None,
            owner=self._caller.name,
            daily_digests=self._settings.daily_digests,
        )

    async def create_digests(self, batch: BatchRequest) -> list[Task]:
        """Create all tasks of a batch, or return those that the same key created. Raises `BroadsheetError`."""
        keys: list[CallerKey | None] = [None] * len(batch.digests)
        if self._key is not None:
            sent = batch.fingerprint
            keys = [CallerKey(self._key, sent, index) for index in range(len(batch.digests))]
        tasks = [
            NewTask(
                task_id=uuid4(),
                kind=TaskKind.DIGEST,
                payload=self._checked_payload(body.payload, body),
                source_date=body.source_date,
                callback_url=body.callback_url,
                key=key,
            )
            for body, key in zip(batch.digests, keys, strict=True)
        ]
        return await self._services.tasks.create_tasks(
            tasks, owner=self._caller.name, daily_digests=self._settings.daily_digests
        )

    def _checked_payload(self, payload: dict[str, Any], body: TaskRequest) -> dict[str, Any]:
        """Return the payload with the request's id, after a check of the callback's URL."""
        if body.callback_url is not None:
            self.require_callable(body.callback_url)
        return payload | {"request_id": structlog.contextvars.get_contextvars().get("request_id")}

    def require_callable(self, callback_url: str) -> None:
        """Raise `CallbacksNotConfigured` or `CallbackRefused` if a callback to this URL can never be delivered."""
        if not self._settings.webhook_secret:
            raise CallbacksNotConfigured("callback_url requires WEBHOOK_SECRET, which is not set on this server.")
        try:
            checked_callback_url(callback_url, private=self._settings.callbacks_to_private_addresses)
        except ValueError as error:
            raise CallbackRefused(f"callback_url is refused: {error}.") from None


async def get_task_creator(
    request: Request, services: ServicesOf, caller: CallerOf, idempotency_key: IdempotencyKey = None
) -> TaskCreator:
    """Return the request's `TaskCreator`. A class as a dependency would be constructed in a thread."""
    return TaskCreator(services, request.app.state.settings, caller, idempotency_key)


TaskCreatorOf = Annotated[TaskCreator, Depends(get_task_creator)]


async def read_task(services: Services, caller: Caller, kind: TaskKind, task_id: UUID) -> Task:
    """Read a task of this kind. Raises `TaskNotFound`, also for other kinds and tasks that the caller may not see."""
    task = await services.tasks.get_task(task_id, owner=caller.visible_owner)
    if task.kind is not kind:
        raise TaskNotFound(
            f"Task {task_id} is a {task.kind.value}, not a {kind.value}: see {task_url(task.kind, task_id)}"
        )
    return task


async def cancel_task(services: Services, caller: Caller, kind: TaskKind, task_id: UUID) -> Task:
    """Cancel a task of this kind. If an admin cancels another caller's task, the audit records it.

    Raises `TaskNotFound`, `SupabaseError`.
    """
    task = await read_task(services, caller, kind, task_id)
    if task.owner == caller.name:
        return await services.tasks.cancel_task(task_id, owner=caller.name)
    return await services.operator.cancel(Actor(uuid4(), caller.name), task_id)


def set_task_headers(response: Response, task: Task) -> None:
    """Set `Location`, and while the task is unfinished `Retry-After`."""
    response.headers["Location"] = task_url(task.kind, task.task_id)
    if not task.status.is_final:
        response.headers["Retry-After"] = POLL_AFTER


def describe(response: Response, task: Task) -> TaskView:
    """Build the view of a task and set its headers."""
    set_task_headers(response, task)
    return TaskView.of(task)


class NotFinished(BroadsheetError):
    """The digest is not completed, so it has no page."""

    status = HTTPStatus.CONFLICT
    title = "Digest not completed"


async def finished_digest(services: Services, task: Task) -> StoredDigest:
    """Return the digest of a completed task. Raises `NotFinished`, `SupabaseError`."""
    if task.status is not TaskStatus.COMPLETED:
        reason = f": {task.error}" if task.error else ""
        raise NotFinished(f"The digest {task.task_id} is {task.status.value}{reason}; it has no page.")
    return await services.digests.get(task.task_id)
