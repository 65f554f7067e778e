"""A running task: the interface of its handler, and the mapping of the handler's result or error to an outcome."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from random import Random
from typing import Any, assert_never
from uuid import UUID

import structlog

from app.errors import (
    BroadsheetError,
    LeaseLost,
    PermanentError,
    SchemaOutdated,
    SupabaseUnavailable,
    TemporarilyUnavailable,
    UnreadableResponse,
)
from app.models.tasks import TaskKind
from app.persistence.outcomes import Cancelled, Completed, Failed, Lease, Outcome, Released, Snoozed
from app.persistence.queue import ClaimedTask, Progress
from worker.retries import RetryDelay, outage_delay, retry_delay

log = structlog.get_logger(__name__)


class Snooze(Exception):
    """Raised by a handler whose task cannot run yet. It uses no attempt.

    The task runs again after `delay`, or when the task `waits_for` has ended.
    """

    def __init__(self, delay: timedelta, reason: str, waits_for: UUID | None = None) -> None:
        super().__init__(reason)
        self.delay = delay
        self.reason = reason
        self.waits_for = waits_for


class Abort(Enum):
    """Why a claimed task is cancelled."""

    LEASE_LOST = auto()
    TIMEOUT = auto()
    CANCEL_REQUESTED = auto()
    SHUTDOWN = auto()
    NO_PLACE = auto()
    """It was claimed ahead, and no place became free in time."""


@dataclass(slots=True)
class Job:
    """A task that the worker has claimed. `deadline` is in event loop time: of its start, and then of its end."""

    task: ClaimedTask
    deadline: float
    on_progress: Callable[[Lease, Progress], None]
    abort: Abort | None = None
    stuck_logged: bool = False
    """Whether it was logged that the task ignores its cancellation."""
    begun: bool = False
    running: "asyncio.Task[None] | None" = field(default=None, repr=False)
    """None while it waits for a place."""

    def __str__(self) -> str:
        return f"{self.task.kind} {self.task.task_id}"

    def log_fields(self) -> dict[str, Any]:
        """Return the fields of this task's log lines."""
        return {"task_id": str(self.task.task_id), "request_id": self.task.payload.get("request_id")}

    async def report(self, message: str, progress: float) -> None:
        """Report `message` and `progress` (0 to 1). The worker's next sync call sends it."""
        self.on_progress(self.task.lease, Progress(message, progress))

    def cancel(self, reason: Abort) -> None:
        """Cancel the task's coroutine. Only the first reason counts."""
        if self.abort is None:
            self.abort = reason
            # A coroutine that is cancelled before its first step never runs, and could not free its slot.
            if self.begun and self.running is not None:
                self.running.cancel()


Work = Callable[[Job], Awaitable[dict[str, Any] | Completed]]


@dataclass(frozen=True)
class Handler:
    """How tasks of one kind are done: the work, which returns a result or `Completed`, its time limit, its retries."""

    work: Work
    timeout: timedelta
    retry_delay: RetryDelay = retry_delay


Handlers = Mapping[TaskKind, Handler]


async def perform(job: Job, handler: Handler, random: Random) -> Outcome | None:
    """Run the task and return its outcome; None if this worker has lost its lease.

    Never raises: every exception of the handler becomes an outcome, including `SystemExit` and `CancelledError`.
    """
    job.begun = True
    if job.abort is not None:
        return _outcome_of_abort(job, job.abort, handler, random)
    try:
        result = await handler.work(job)
    except BaseException as error:  # noqa: BLE001  (unexpected errors are logged below)
        return _outcome_of_error(job, error, handler, random)
    return result if isinstance(result, Completed) else Completed(result)


def _outcome_of_error(job: Job, error: BaseException, handler: Handler, random: Random) -> Outcome | None:
    if isinstance(error, asyncio.CancelledError) and job.abort is not None:
        return _outcome_of_abort(job, job.abort, handler, random)
    if isinstance(error, LeaseLost):
        return None
    if (snoozed := _snoozed(job, error, random)) is not None:
        return snoozed
    if isinstance(error, PermanentError):
        return Failed(error=_text(error), retry_in=None)
    return Failed(error=_failure(job, error), retry_in=handler.retry_delay(job.task.attempt, error, random))


def _snoozed(job: Job, error: BaseException, random: Random) -> Snoozed | None:
    """Return the snooze for a condition that passes; None: the attempt has failed."""
    match error:
        case Snooze():
            return Snoozed(error.delay, error.reason, error.waits_for)
        case TemporarilyUnavailable():
            return Snoozed(timedelta(seconds=error.retry_after), _text(error))
        case UnreadableResponse():  # Stored data may cause it, so it may never pass.
            return None
        case SupabaseUnavailable() | SchemaOutdated():
            return Snoozed(outage_delay(job.task.waited, random), _text(error))
        case _:
            return None


def _failure(job: Job, error: BaseException) -> str:
    match error:
        case TimeoutError():
            return f"timeout: {_text(error)}"
        case BroadsheetError():
            return _text(error)
        case _:
            log.error("task failed unexpectedly", task_id=str(job.task.task_id), kind=job.task.kind, exc_info=error)
            return f"{type(error).__name__}: {_text(error)}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        log.exception("error has no text", error=type(error).__name__)
        return "(its text cannot be read)"


def _outcome_of_abort(job: Job, reason: Abort, handler: Handler, random: Random) -> Outcome | None:
    match reason:
        case Abort.CANCEL_REQUESTED:
            return Cancelled()
        case Abort.SHUTDOWN | Abort.NO_PLACE:
            return Released()
        case Abort.TIMEOUT:
            error = f"not done within {handler.timeout.total_seconds():g} s"
            return Failed(error=error, retry_in=handler.retry_delay(job.task.attempt, TimeoutError(error), random))
        case Abort.LEASE_LOST:
            return None
        case _ as never:
            assert_never(never)
