"""Throttles bursts of work on the event loop, so that other work runs in between.

A task runs until it awaits something that is not ready. When a hundred responses arrive at once, asyncio runs a hundred
continuations in one iteration of the loop, and a timer, a signal or a health check waits for all of them.
"""

import asyncio
from collections import deque

PIECES = 8
"""Pieces of work per iteration of the event loop: at half a millisecond each, a few milliseconds."""


class LoopThrottle:
    """Admits at most `pieces` pieces of work per iteration of the event loop, in order of arrival."""

    def __init__(self, pieces: int = PIECES) -> None:
        self._pieces = pieces
        self._left = pieces
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._counting = False

    async def enter(self) -> None:
        """Wait until the next piece of work is admitted, in this iteration of the event loop or a later one."""
        loop = asyncio.get_running_loop()
        if not self._counting:
            self._counting = True
            loop.call_soon(self._next_iteration)
        if self._left > 0 and not self._waiting:
            self._left -= 1
            return
        admitted = loop.create_future()
        self._waiting.append(admitted)
        await admitted

    def _next_iteration(self) -> None:
        """Admit the next pieces; repeat in the next iteration while this one had any."""
        if self._left == self._pieces and not self._waiting:
            self._counting = False
            return
        self._left = self._pieces
        while self._waiting and self._left > 0:
            admitted = self._waiting.popleft()
            if not admitted.done():  # done: it was cancelled while it waited
                admitted.set_result(None)
                self._left -= 1
        asyncio.get_running_loop().call_soon(self._next_iteration)
