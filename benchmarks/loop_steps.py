"""Measures how long single iterations of the event loop take."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def loop_steps() -> AsyncIterator[list[float]]:
    """Collect the CPU seconds of each iteration of the event loop, beside a task that is always ready."""
    steps = [0.0]

    async def watch() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            steps.append(now - last)
            last = now

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        yield steps
        await asyncio.sleep(0)
    finally:
        watching.cancel()
