"""Stops a command on a signal at any moment: cancels its work and closes its resources in order."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
"""The exit status of an interrupted command."""


async def run_until_signal(work: Coroutine[Any, Any, None], on_stop: Callable[[], None]) -> bool:
    """Run `work` to its end, or cancel it at the first signal; returns whether a signal arrived.

    A second signal ends the process immediately; its children then end with it (`embedded.parent_death`).
    """
    running, stopped = asyncio.ensure_future(work), asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            os._exit(INTERRUPTED)
        stopped.set()
        on_stop()
        running.cancel()

    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await running
    except asyncio.CancelledError:
        if not stopped.is_set():
            raise
    return stopped.is_set()
