"""Runs what goes on beside the tasks (chores, watches), and sees to it that none of it dies unnoticed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager

import structlog

from app.errors import BroadsheetError

log = structlog.get_logger(__name__)


STOP_WITHIN = 3.0
"""Seconds that chores get to end, the last report of the minute's figures included."""


class ChoreDied(BroadsheetError):
    """Something that runs beside the tasks raised what it should not: the process ends, to be started anew."""

    title = "Chore died"


@asynccontextmanager
async def beside(
    chores: Mapping[str, Coroutine[None, None, None]], *, on_death: Callable[[ChoreDied], None]
) -> AsyncIterator[None]:
    """Run `chores` while the context is open, then cancel them; one that raises is logged, and `on_death` is told."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("chore died", chore=task.get_name(), exc_info=error)
            death = ChoreDied(f"The worker's {task.get_name()} died: {type(error).__name__}: {error}")
            death.__cause__ = error
            on_death(death)

    running = [asyncio.create_task(chore, name=name) for name, chore in chores.items()]
    for task in running:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        if running and (deaf := (await asyncio.wait(running, timeout=STOP_WITHIN))[1]):
            log.error("chores ignore their cancellation", chores=sorted(task.get_name() for task in deaf))
