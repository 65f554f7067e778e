"""Runs the worker's background jobs beside its tasks, and reports any that fails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager

import structlog

from app.errors import BroadsheetError

log = structlog.get_logger(__name__)


STOP_WITHIN = 3.0
"""Seconds that periodic jobs have to end, including the last report of task statistics."""


class PeriodicJobFailed(BroadsheetError):
    """A periodic job raised an unexpected error. The process ends and must be restarted."""


@asynccontextmanager
async def supervise(
    periodic_jobs: Mapping[str, Coroutine[None, None, None]], *, on_failure: Callable[[PeriodicJobFailed], None]
) -> AsyncIterator[None]:
    """Run `periodic_jobs` while the context is open, then cancel them. Log one that raises, and call `on_failure`."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("periodic job failed", periodic_job=task.get_name(), exc_info=error)
            failure = PeriodicJobFailed(f"The worker's {task.get_name()} failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            on_failure(failure)

    running = [asyncio.create_task(periodic_job, name=name) for name, periodic_job in periodic_jobs.items()]
    for task in running:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        if running and (stuck := (await asyncio.wait(running, timeout=STOP_WITHIN))[1]):
            names = sorted(task.get_name() for task in stuck)
            log.error("periodic jobs ignore their cancellation", periodic_jobs=names)
