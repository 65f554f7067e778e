"""Ends the process on time, even if an asyncio task ignores its cancellation."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress

import structlog

log = structlog.get_logger(__name__)

CANCEL_TIMEOUT = 1.0
"""Seconds that the remaining tasks have to end after their cancellation."""


async def run_and_stop_tasks(main: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run `main`, then cancel all remaining tasks.

    If a task still runs after `CANCEL_TIMEOUT`, the log names it, and the process ends with exit status 1: asyncio
    would wait for it forever. The leases of such tasks expire.
    """
    try:
        await main()
    finally:
        if stuck := await _cancel(asyncio.all_tasks() - {asyncio.current_task()}):
            event = "tasks ignore their cancellation: the process ends without them"
            log.error(event, tasks=stuck, exc_info=sys.exception())
            _exit()


async def _cancel(tasks: Iterable["asyncio.Task[object] | None"]) -> list[str]:
    """Cancel `tasks`; return the names of those that do not end."""
    left = {task for task in tasks if task is not None}
    for task in left:
        task.cancel()
    if left:
        with suppress(asyncio.CancelledError):  # a second signal ends the wait
            await asyncio.wait(left, timeout=CANCEL_TIMEOUT)
    return sorted(task.get_name() for task in left if not task.done())


def _exit() -> None:
    """End the process now. Closing the event loop would wait for every task."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
