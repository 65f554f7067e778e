"""Runs what goes on beside the tasks (periodic_jobs, watches), and sees to it that none of it dies unnoticed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager

import structlog

from app.errors import BroadsheetError

log = structlog.get_logger(__name__)


STOP_WITHIN = 3.0
"""Seconds that periodic_jobs get to end, the last report of the minute's figures included."""


class PeriodicJobFailed(BroadsheetError):
    """Something that runs beside the tasks raised what it should not: the process ends, to be started anew."""

    title = "Chore died"


@asynccontextmanager
async def supervise(
    periodic_jobs: Mapping[str, Coroutine[None, None, None]], *, on_death: Callable[[PeriodicJobFailed], None]
) -> AsyncIterator[None]:
    """Run `periodic_jobs` while the context is open, then cancel them; one that raises is logged, and `on_death` is told."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("periodic_job died", periodic_job=task.get_name(), exc_info=error)
            death = PeriodicJobFailed(f"The worker's {task.get_name()} died: {type(error).__name__}: {error}")
            death.__cause__ = error
            on_death(death)

    running = [asyncio.create_task(periodic_job, name=name) for name, periodic_job in periodic_jobs.items()]
    for task in running:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        if running and (deaf := (await asyncio.wait(running, timeout=STOP_WITHIN))[1]):
            log.error("periodic_jobs ignore their cancellation", periodic_jobs=sorted(task.get_name() for task in deaf))
