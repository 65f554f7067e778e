"""Limits the rate of requests to a source: one at a time, an interval apart, across all processes."""

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

MAX_WAIT: Final = 60.0
"""The most seconds that a request waits for its permit. If it takes longer, its task should retry later."""

HOLD: Final = 45.0
"""Seconds after which a permit expires if nobody releases it: longer than a request may take."""


class Permits(Protocol):
    """Grants permits to all processes. Implemented in app/persistence."""

    async def acquire(self, name: str, token: UUID, *, interval: float, hold: float) -> float:
        """Acquire the permit and return 0, or return the seconds after which to try again. Raises SupabaseError."""

    async def release(self, name: str, token: UUID, *, pause: float) -> None:
        """Release the permit; the next one is available after `pause` seconds. Raises SupabaseError."""


@dataclass(slots=True)
class Permit:
    """The permit of one request. `pause`: seconds that the source requires before the next request."""

    pause: float = 0.0


class RateLimiter:
    """Allows one request at a time, each at least `interval` seconds after the start of the previous one.

    arXiv allows at most one request in three seconds, over a single connection, from all machines of a user together,
    for its API, OAI-PMH and RSS together: https://info.arxiv.org/help/api/tou.html. Without `permits`, or while the
    database is unavailable, each process keeps this limit on its own.

    `host` names the server of a request. A pause that a server requires applies to its host alone.
    """

    def __init__(
        self,
        interval: float = 3.0,
        *,
        permits: Permits | None = None,
        name: str = "arxiv",
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._interval = interval
        self._permits = permits
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._lock = asyncio.Lock()
        self._next = float("-inf")
        self._paused_until: dict[str, float] = {}

    @asynccontextmanager
    async def permit(self, host: str = "", *, patience: float = MAX_WAIT) -> AsyncIterator[Permit]:
        """Wait for a permit, and hold it during the request.

        Raises SourceBusy if the next permit is more than `MAX_WAIT` seconds away, or the end of a pause of this host
        more than `patience`.
        """
        while True:
            # Outside the lock: a pause of one host does not delay requests to others.
            await self._wait(self._paused_until.get(host, float("-inf")) - self._clock(), host, patience)
            async with self._lock:
                await self._wait(self._next - self._clock(), host)
                permit, token, sent = Permit(), uuid4(), False
                try:
                    await self._acquire(token, host)
                    self._next = self._clock() + self._interval
                    if sent := not await self._is_paused(host):
                        yield permit
                finally:
                    self._note_pause(host, permit.pause)
                    # First: the process that gets the next permit must know the pause.
                    if host and permit.pause:
                        await self._release_host(host, permit.pause)
                    await self._release(token)
            if sent:
                return

    async def pause(self, host: str, seconds: float) -> None:
        """Give no permit for requests to this host for some seconds, in any process."""
        # A pause is stored with the host's permits: the first one creates their row.
        await self._is_paused(host)
        self._note_pause(host, seconds)
        await self._release_host(host, seconds)

    def _note_pause(self, host: str, seconds: float) -> None:
        until = self._clock() + seconds
        self._next = self._next if host else max(self._next, until)
        if host and seconds:
            self._paused_until[host] = max(until, self._paused_until.get(host, until))

    async def _wait(self, seconds: float, host: str, longest: float = MAX_WAIT) -> None:
        if seconds > longest:
            raise SourceBusy(f"{self._full_name(host)} requires a pause of all clients", retry_after=seconds)
        if seconds > 0:
            await self._sleep(seconds)

    def _full_name(self, host: str) -> str:
        return f"{self._name} {host}".rstrip()

    async def _acquire(self, token: UUID, host: str) -> None:
        """Wait for the permit shared by all processes. Without the database, only this process's limit applies."""
        while self._permits is not None:
            try:
                wait = await self._permits.acquire(self._name, token, interval=self._interval, hold=HOLD)
            except SupabaseError as error:
                log.warning("rate limit works locally", name=self._name, error=str(error))
                return
            if wait <= 0:
                return
            await self._wait(wait, host)

    async def _is_paused(self, host: str) -> bool:
        """Whether another process has learned that the host requires a pause; notes how long."""
        if self._permits is None or not host:
            return False
        try:
            # Without an interval and a hold, this permit only says whether there is a pause.
            wait = await self._permits.acquire(self._full_name(host), uuid4(), interval=0, hold=0)
        except SupabaseError as error:
            log.warning("pauses are known locally", name=self._full_name(host), error=str(error))
            return False
        self._note_pause(host, wait)
        return wait > 0

    async def _release(self, token: UUID) -> None:
        if self._permits is None:
            return
        # Counted from when this process sent the request: the response that granted the permit may have been late.
        pause = max(0.0, self._next - self._clock())
        try:
            await self._permits.release(self._name, token, pause=pause)
        except SupabaseError as error:
            log.warning("permit not released, it will expire", name=self._name, error=str(error))

    async def _release_host(self, host: str, seconds: float) -> None:
        if self._permits is None:
            return
        try:
            await self._permits.release(self._full_name(host), uuid4(), pause=seconds)
        except SupabaseError as error:
            log.warning("pause is known locally", name=self._full_name(host), error=str(error))
