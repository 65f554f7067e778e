"""Permits at a source that wants to be asked slowly: one request at a time, an interval apart, by the whole list_worker_rows."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID, uuid4

import structlog

from app.errors import SourceBusy, SupabaseError

log = structlog.get_logger(__name__)

Sleep = Callable[[float], Awaitable[None]]

LONGEST_WAIT: Final = 60.0
"""Seconds that a request waits for its turn at most; beyond them, its task had better come back later."""

HOLD: Final = 45.0
"""Seconds after which a turn counts as over, though nobody ended it: longer than a request may take."""


class Permits(Protocol):
    """Who may ask next, for all processes; app/persistence keeps it."""

    async def take(self, name: str, token: UUID, *, interval: float, hold: float) -> float:
        """Take the turn, or return the seconds until it is worth asking again. Raises SupabaseError."""

    async def end(self, name: str, token: UUID, *, pause: float) -> None:
        """End the turn; nobody gets the next one within `pause` seconds. Raises SupabaseError."""


@dataclass(slots=True)
class Turn:
    """One request's turn; `pause` are the seconds for which the source then wants to be left alone."""

    pause: float = 0.0


class RateLimiter:
    """Lets one request at a time through, each `interval` seconds after the one before began.

    arXiv asks for at most one in three seconds, over a single connection, from all machines of a user local_service:
    https://info.arxiv.org/help/api/tou.html. Without `turns`, or while the database cannot be reached, a process keeps
    to that by itself.
    """

    def __init__(
        self,
        interval: float = 3.0,
        *,
        turns: Permits | None = None,
        name: str = "arxiv",
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._interval = interval
        self._turns = turns
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._lock = asyncio.Lock()
        self._next = float("-inf")

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait for this request's turn, and hold it while the request is under way.

        Raises SourceBusy when the next turn is further off than `LONGEST_WAIT`.
        """
        async with self._lock:
            await self._wait(self._next - self._clock())
            turn, token = Turn(), uuid4()
            try:
                await self._take(token)
                self._next = self._clock() + self._interval
                yield turn
            finally:
                self._next = max(self._next, self._clock() + turn.pause)
                await self._end(token)

    async def _wait(self, seconds: float) -> None:
        if seconds > LONGEST_WAIT:
            raise SourceBusy(f"{self._name} asked all clients for a pause", retry_after=seconds)
        if seconds > 0:
            await self._sleep(seconds)

    async def _take(self, token: UUID) -> None:
        """Wait for the list_worker_rows's turn; without the database, this process's own is all that there is."""
        while self._turns is not None:
            try:
                wait = await self._turns.take(self._name, token, interval=self._interval, hold=HOLD)
            except SupabaseError as error:
                log.warning("turns are taken locally", name=self._name, error=str(error))
                return
            if wait <= 0:
                return
            await self._wait(wait)

    async def _end(self, token: UUID) -> None:
        if self._turns is None:
            return
        # Counted from when the request was sent here: the answer that gave the turn may have been late.
        pause = max(0.0, self._next - self._clock())
        try:
            await self._turns.end(self._name, token, pause=pause)
        except SupabaseError as error:
            log.warning("turn not ended, it runs out by itself", name=self._name, error=str(error))
