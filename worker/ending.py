"""Ends the process on time, also if a task in it ignores its cancellation."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress

import structlog

log = structlog.get_logger(__name__)

PATIENCE = 1.0
"""Seconds that tasks get to end after their cancellation, when nothing else is left to do."""


async def run_to_its_end(main: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run `main`, then cancel every task that is left.

    A task that still runs after `PATIENCE` is named in the log, and the process ends with exit status 1: asyncio itself
    would wait for that task forever. Leases of such tasks expire by themselves.
    """
    try:
        await main()
    finally:
        if stuck := await _cancel(asyncio.all_tasks() - {asyncio.current_task()}):
            said = "tasks ignore their cancellation: the process ends without them"
            log.error(said, tasks=stuck, exc_info=sys.exception())
            _exit()


async def _cancel(tasks: Iterable["asyncio.Task[object] | None"]) -> list[str]:
    """Cancel `tasks`; returns the names of those that go on."""
    left = {task for task in tasks if task is not None}
    for task in left:
        task.cancel()
    if left:
        with suppress(asyncio.CancelledError):  # a second signal: wait no longer
            await asyncio.wait(left, timeout=PATIENCE)
    return sorted(task.get_name() for task in left if not task.done())


def _exit() -> None:
    """End the process now: without the event loop's own end, which waits for every task."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
