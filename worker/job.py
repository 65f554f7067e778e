"""One claimed task while it is being worked on: what its handler sees, and what its end means to the queue."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from random import Random
from typing import Any

import structlog

from app.errors import BroadsheetError, LeaseLost, PermanentError, SupabaseError
from app.models import TaskKind
from app.persistence.queue import Cancelled, ClaimedTask, Completed, Failed, Outcome, Released, Snoozed
from app.persistence.tasks import TaskStateManager

log = structlog.get_logger(__name__)

FIRST_RETRY = timedelta(seconds=2)
LONGEST_RETRY = timedelta(minutes=10)


class Snooze(Exception):
    """Raised by a handler whose task cannot be done yet: it comes back after `delay` with no attempt burnt."""

    def __init__(self, delay: timedelta, reason: str) -> None:
        super().__init__(reason)
        self.delay = delay
        self.reason = reason


class Abort(Enum):
    """Why a running task's coroutine is cancelled."""

    LEASE_LOST = "lease lost"
    CANCEL_REQUESTED = "cancel requested"
    SHUTDOWN = "shutdown"


@dataclass
class Job:
    """A task in the worker's hands; `report` is how its handler tells people how far it is."""

    task: ClaimedTask
    tasks: TaskStateManager
    renewed_at: float
    abort: Abort | None = None
    running: "asyncio.Task[None] | None" = field(default=None, repr=False)

    async def report(self, message: str, progress: float) -> None:
        """Show `message` and `progress` (0 to 1) to whoever polls the task.

        Raises `LeaseLost` when the task is no longer this worker's. A failing Supabase is logged and passed over:
        progress is a courtesy.
        """
        try:
            await self.tasks.update_task(
                self.task.task_id, lease_token=self.task.lease_token, message=message, progress=progress
            )
        except SupabaseError as error:
            log.warning("progress not reported", task_id=str(self.task.task_id), error=str(error))

    def cancel(self, why: Abort) -> None:
        """End the task's coroutine; the first reason counts."""
        if self.abort is None and self.running is not None:
            self.abort = why
            self.running.cancel()


def retry_delay(attempt: int, _error: Exception, random: Random) -> timedelta:
    """Capped exponential backoff with full jitter: anywhere between nothing and min(cap, first * 2^(attempt-1)).

    Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempt - 1, 16))
    return timedelta(seconds=ceiling.total_seconds() * random.random())


Work = Callable[[Job], Awaitable[dict[str, Any]]]
RetryDelay = Callable[[int, Exception, Random], timedelta]
"""The number of the attempt that failed (1 for the first), and its error, to the time until the next one."""


@dataclass(frozen=True)
class Handler:
    """How one kind of task is done: the work, which returns its result, how long that may take, when to try again."""

    work: Work
    timeout: timedelta
    retry_delay: RetryDelay = retry_delay


Handlers = Mapping[TaskKind, Handler]


async def perform(job: Job, handler: Handler, random: Random) -> Outcome | None:
    """Do the task and return what the queue is to be told; None where it no longer is this worker's to tell."""
    limit = asyncio.timeout(handler.timeout.total_seconds())
    try:
        async with limit:
            return Completed(result=await handler.work(job))
    except asyncio.CancelledError:
        return _aborted(job)
    except LeaseLost:
        return None
    except Snooze as snooze:
        return Snoozed(delay=snooze.delay, reason=snooze.reason)
    except PermanentError as error:
        return Failed(error=str(error), retry_in=None)
    except TimeoutError as error:
        reason = f"not done within {handler.timeout.total_seconds():g} s" if limit.expired() else f"timeout: {error}"
        return Failed(error=reason, retry_in=handler.retry_delay(job.task.attempt, error, random))
    except BroadsheetError as error:
        return Failed(error=str(error), retry_in=handler.retry_delay(job.task.attempt, error, random))
    except Exception as error:
        log.exception("task failed unexpectedly", task_id=str(job.task.task_id), kind=job.task.kind)
        return Failed(
            error=f"{type(error).__name__}: {error}", retry_in=handler.retry_delay(job.task.attempt, error, random)
        )


def _aborted(job: Job) -> Outcome | None:
    match job.abort:
        case Abort.CANCEL_REQUESTED:
            return Cancelled()
        case Abort.SHUTDOWN:
            return Released()
        case Abort.LEASE_LOST | None:
            return None
