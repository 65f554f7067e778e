"""One claimed task while it is being worked on: what its handler sees, and what its end means to the queue."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from random import Random
from typing import Any, assert_never
from uuid import UUID

import structlog

from app.errors import BroadsheetError, LeaseLost, PermanentError, TemporarilyUnavailable
from app.models import TaskKind
from app.persistence.outcomes import Cancelled, Completed, Failed, Lease, Outcome, Released, Snoozed
from app.persistence.queue import ClaimedTask, Progress
from worker.retries import RetryDelay, retry_delay

log = structlog.get_logger(__name__)


class Snooze(Exception):
    """Raised by a handler whose task cannot be done yet: it comes back with no attempt burnt.

    After `delay`, or as soon as the task `waits_for` has ended.
    """

    def __init__(self, delay: timedelta, reason: str, waits_for: UUID | None = None) -> None:
        super().__init__(reason)
        self.delay = delay
        self.reason = reason
        self.waits_for = waits_for


class Abort(Enum):
    """Why a running task's coroutine is cancelled."""

    LEASE_LOST = auto()
    TIMEOUT = auto()
    CANCEL_REQUESTED = auto()
    SHUTDOWN = auto()


@dataclass(slots=True)
class Job:
    """A task in the worker's hands; `deadline` is in the event loop's time."""

    task: ClaimedTask
    deadline: float
    show: Callable[[Lease, Progress], None]
    abort: Abort | None = None
    named: bool = False
    """Whether the log has said that it ignores its cancellation."""
    begun: bool = False
    running: "asyncio.Task[None] | None" = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.task.kind} {self.task.task_id}"

    def described(self) -> dict[str, Any]:
        """What log lines say of it."""
        return {"task_id": str(self.task.task_id), "request_id": self.task.payload.get("request_id")}

    async def report(self, message: str, progress: float) -> None:
        """Show `message` and `progress` (0 to 1) to who follows the task; the worker's next call takes it along."""
        self.show(self.task.lease, Progress(message, progress))

    def cancel(self, why: Abort) -> None:
        """End the task's coroutine; the first reason counts."""
        if self.abort is None:
            self.abort = why
            # Cancelled before its first step, a coroutine never runs at all, and could not give its slot back.
            if self.begun and self.running is not None:
                self.running.cancel()


Work = Callable[[Job], Awaitable[dict[str, Any] | Completed]]


@dataclass(frozen=True)
class Handler:
    """How one kind of task is done: the work, which returns its result or end; its time limit; when to try again."""

    work: Work
    timeout: timedelta
    retry_delay: RetryDelay = retry_delay


Handlers = Mapping[TaskKind, Handler]


async def perform(job: Job, handler: Handler, random: Random) -> Outcome | None:
    """Do the task and return what the queue is to be told; None where it no longer is this worker's to tell.

    Never raises: whatever the handler lets out, `SystemExit` and a cancellation of its own included, is its task's end.
    """
    job.begun = True
    if job.abort is not None:
        return _aborted(job, job.abort, handler, random)
    try:
        result = await handler.work(job)
    except BaseException as error:  # noqa: BLE001  (what is not expected is logged below)
        return _ended(job, error, handler, random)
    return result if isinstance(result, Completed) else Completed(result)


def _ended(job: Job, error: BaseException, handler: Handler, random: Random) -> Outcome | None:
    """What it means to the task that its handler let `error` out."""
    if isinstance(error, asyncio.CancelledError) and job.abort is not None:
        return _aborted(job, job.abort, handler, random)
    retry_in = handler.retry_delay(job.task.attempt, error, random)
    match error:
        case LeaseLost():
            return None
        case Snooze():
            return Snoozed(error.delay, error.reason, error.waits_for)
        case TemporarilyUnavailable():
            return Snoozed(timedelta(seconds=error.retry_after), _text(error))
        case PermanentError():
            return Failed(error=_text(error), retry_in=None)
        case TimeoutError():
            return Failed(error=f"timeout: {_text(error)}", retry_in=retry_in)
        case BroadsheetError():
            return Failed(error=_text(error), retry_in=retry_in)
        case _:
            log.error("task failed unexpectedly", task_id=str(job.task.task_id), kind=job.task.kind, exc_info=error)
            return Failed(error=f"{type(error).__name__}: {_text(error)}", retry_in=retry_in)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        log.exception("an error cannot be said", error=type(error).__name__)
        return "(its text cannot be had)"


def _aborted(job: Job, why: Abort, handler: Handler, random: Random) -> Outcome | None:
    match why:
        case Abort.CANCEL_REQUESTED:
            return Cancelled()
        case Abort.SHUTDOWN:
            return Released()
        case Abort.TIMEOUT:
            late = f"not done within {handler.timeout.total_seconds():g} s"
            return Failed(error=late, retry_in=handler.retry_delay(job.task.attempt, TimeoutError(late), random))
        case Abort.LEASE_LOST:
            return None
        case _ as never:
            assert_never(never)
