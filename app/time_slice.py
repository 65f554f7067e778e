"""Long work in short steps, so that the event loop has its turn between them."""

import asyncio
from time import perf_counter
from typing import Final

MAX_STEP: Final = 0.001
"""Seconds after which a step ends at its next checkpoint, unless the work sets another limit."""


class TimeSlice:
    """The present step of some work: it begins when the work begins, and again after each pause.

    A step ends at its first checkpoint after `seconds`. Work that a worker does beside many other tasks takes longer
    steps: each pause lasts as long as the steps of all others together.
    """

    def __init__(self, seconds: float = MAX_STEP) -> None:
        self._seconds = seconds
        self._began = perf_counter()

    async def checkpoint(self) -> None:
        """Let the loop do everything else that is ready, if this step has lasted long enough."""
        if perf_counter() - self._began >= self._seconds:
            await asyncio.sleep(0)
            self._began = perf_counter()
