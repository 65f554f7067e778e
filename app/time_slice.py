"""Long work in short steps, so that the event loop has its turn between them."""

import asyncio
from time import perf_counter
from typing import Final

MAX_STEP: Final = 0.001
"""Seconds after which a step ends at its next checkpoint."""


class TimeSlice:
    """The present step of some work: it begins when the work begins, and again after each pause."""

    def __init__(self) -> None:
        self._began = perf_counter()

    async def checkpoint(self) -> None:
        """Let the loop do everything else that is ready, if this step has lasted for `MAX_STEP`."""
        if perf_counter() - self._began >= MAX_STEP:
            await asyncio.sleep(0)
            self._began = perf_counter()
