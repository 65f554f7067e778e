"""Lets a burst of work onto the event loop a few pieces at a time, so that everything else keeps its turn in between.

A task runs until it awaits something that is not there yet. When a hundred answers arrive local_service, asyncio runs a
hundred continuations in one iteration of the loop, and a timer, a signal or a health check waits for all of them.
"""

import asyncio
from collections import deque

PIECES = 8
"""Pieces of work let through in one iteration of the event loop: at half a millisecond each, a few milliseconds."""


class LoopThrottle:
    """Passed before each piece of work; in order of arrival, at most `pieces` in one iteration of the loop."""

    def __init__(self, pieces: int = PIECES) -> None:
        self._pieces = pieces
        self._left = pieces
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._counting = False

    async def enter(self) -> None:
        """Go through, in this iteration of the event loop or a later one."""
        loop = asyncio.get_running_loop()
        if not self._counting:
            self._counting = True
            loop.call_soon(self._next_iteration)
        if self._left > 0 and not self._waiting:
            self._left -= 1
            return
        place = loop.create_future()
        self._waiting.append(place)
        await place

    def _next_iteration(self) -> None:
        """Let the next ones through; look again in the next iteration for as long as somebody came in this one."""
        if self._left == self._pieces and not self._waiting:
            self._counting = False
            return
        self._left = self._pieces
        while self._waiting and self._left > 0:
            place = self._waiting.popleft()
            if not place.done():  # cancelled while it waited
                place.set_result(None)
                self._left -= 1
        asyncio.get_running_loop().call_soon(self._next_iteration)
