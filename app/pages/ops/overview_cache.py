"""The overview's figures as they change, for all operators who look: one question to the database every two seconds."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Self

import structlog

from app.errors import SupabaseError
from app.pages.formatting import duration, figure
from app.persistence.overview import Overview

PACE: Final = 2.0
"""Seconds from one question to the next, however many look."""

ANSWER_WITHIN: Final = 5.0
"""Seconds for one of them."""

CHANGED: Final = "Workers, pauses, breakers or mails in doubt have changed since: load this page again."

log = structlog.get_logger(__name__)


def figures_of(overview: Overview) -> dict[str, str]:
    """What changes all the time, as the page shows it, by the name of its place there."""
    shown = {"as of": f"{overview.at:%H:%M:%S} UTC", "workers": figure(len(overview.workers))}
    for kind in overview.kinds:
        counts = {"ready": kind.ready, "later": kind.later, "running": kind.running, "failed": kind.failed}
        shown |= {f"{kind.kind} {name}": figure(count) for name, count in counts.items()}
        shown[f"{kind.kind} oldest"] = duration(kind.oldest_seconds)
    return shown


def shape_of(overview: Overview) -> str:
    """What the page shows besides, in short: it is another one where the page would look different."""
    parts = (
        sorted((str(worker.worker_id), sorted(worker.not_configured)) for worker in overview.workers),
        [(kind.kind, kind.pause) for kind in overview.kinds],
        sorted((breaker.name, breaker.state) for breaker in overview.breakers),
        (overview.deliveries.in_doubt, overview.deliveries.paused),
    )
    return blake2b(repr(parts).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class CachedOverview:
    """An overview as a page shows it: what it looked like, and at which moment of the database's clock it was."""

    shape: str
    at: float

    @classmethod
    def of(cls, overview: Overview) -> Self:
        """What a page with this overview shows."""
        return cls(shape_of(overview), overview.at.timestamp())


class OverviewCache:
    """Asks for the overview when somebody wants to know, unless it has just been asked."""

    def __init__(self, read: Callable[[], Awaitable[Overview]]) -> None:
        self._read = read
        self._asking = asyncio.Lock()
        self._fresh_until = 0.0
        self._figures: dict[str, str] = {}
        self._newest = CachedOverview("", 0.0)
        self._state = ""
        self._stopped = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether this process stops: nobody is told anything more."""
        return self._stopped.is_set()

    def release(self) -> None:
        """The process stops."""
        self._stopped.set()

    async def news(self, page: CachedOverview) -> Mapping[str, str]:
        """The figures, from at most two seconds ago or, where the database does not answer, from when it last did.

        `state` says so then; `changed` says whether what the page shows besides has become another. What is older than
        the page is no news: the figures are missing.
        """
        clock = asyncio.get_running_loop().time
        async with self._asking:
            if clock() >= self._fresh_until:
                self._fresh_until = clock() + PACE
                await self._ask()
        if self._newest.at < page.at:
            return {"state": self._state}
        changed = CHANGED if self._newest.shape != page.shape else ""
        return self._figures | {"state": self._state, "changed": changed}

    async def rest(self) -> None:
        """Wait until it is worth asking again, or this process stops."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), PACE)

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                overview = await self._read()
        except (SupabaseError, TimeoutError) as error:
            log.warning("overview not read", error=str(error) or f"no answer within {ANSWER_WITHIN:g} s")
            since = f"from {self._figures['as of']}" if self._figures else "older"
            self._state = f"The database does not answer: what you see is {since}."
        else:
            self._figures, self._newest, self._state = figures_of(overview), CachedOverview.of(overview), ""
