"""How long a piece of work holds the event loop, in CPU time, so that a busy machine changes nothing."""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def longest_hold(work: Awaitable[T]) -> tuple[T | Exception, float]:
    """Do `work` beside a task that wants every turn; returns what came of it, and the longest wait for a turn."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    result: T | Exception
    try:
        result = await work
    except Exception as error:  # noqa: BLE001  (it is the result)
        result = error
    await asyncio.sleep(0)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    return result, longest
