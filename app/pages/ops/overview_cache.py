"""A cached overview for all open pages: page streams share one database query every two seconds."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final, Self

import structlog

from app.conditions.condition import Observation
from app.conditions.report import HealthReport, report_of
from app.errors import SupabaseError
from app.formatting import duration, figure
from app.persistence.overview import Overview

REFRESH_INTERVAL: Final = 2.0
"""Minimum seconds between two queries, for any number of pages."""

QUERY_TIMEOUT: Final = 5.0
"""Seconds until a query is given up."""

CHANGED: Final = "Problems, workers, pauses, circuit breakers or mails in doubt have changed. Reload this page."

log = structlog.get_logger(__name__)


def health_of(overview: Overview) -> HealthReport:
    """Return the health report of an overview that was just read."""
    return report_of(Observation(overview.health, datetime.now(UTC)))


def figures_of(overview: Overview) -> dict[str, str]:
    """Return the live figures, formatted, by the `data-show` name of their element.

    One of `well` and `wrong` is empty: the health line has an element for each, and hides the empty one.
    """
    health = health_of(overview)
    line = {"well": health.summary, "wrong": ""} if health.status == "ok" else {"well": "", "wrong": health.summary}
    figures = line | {
        "as of": f"{overview.at:%H:%M:%S} UTC",
        "workers": figure(sum(each.alive for each in overview.workers)),
    }
    for kind in overview.kinds:
        counts = {"ready": kind.ready, "not_ready": kind.not_ready, "running": kind.running, "failed": kind.failed}
        figures |= {f"{kind.kind} {name}": figure(count) for name, count in counts.items()}
        figures[f"{kind.kind} oldest"] = duration(kind.oldest_seconds)
    return figures


def fingerprint_of(overview: Overview) -> str:
    """Return a hash of everything else that the page shows. It changes when the page must be reloaded."""
    parts = (
        sorted((str(worker.worker_id), sorted(worker.not_configured)) for worker in overview.workers),
        [(kind.kind, kind.pause) for kind in overview.kinds],
        sorted((breaker.name, breaker.state) for breaker in overview.circuit_breakers),
        (overview.deliveries.in_doubt, overview.deliveries.paused),
        [problem.condition for problem in health_of(overview).problems],
    )
    return blake2b(repr(parts).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class OverviewVersion:
    """The version of the overview that a page shows: its fingerprint, and its time by the database clock."""

    fingerprint: str
    at: float

    @classmethod
    def of(cls, overview: Overview) -> Self:
        """Return the version of an overview."""
        return cls(fingerprint_of(overview), overview.at.timestamp())


class OverviewCache:
    """Reads the overview on demand, at most once per `REFRESH_INTERVAL`."""

    def __init__(self, read: Callable[[], Awaitable[Overview]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._fresh_until = 0.0
        self._figures: dict[str, str] = {}
        self._newest = OverviewVersion("", 0.0)
        self._notice = ""
        self._stopped = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether this process is stopping. Streams end then."""
        return self._stopped.is_set()

    def release(self) -> None:
        """End all streams, because the process stops."""
        self._stopped.set()

    async def updates_for(self, version: OverviewVersion) -> Mapping[str, str]:
        """Return figures that are at most two seconds old, or the last known ones if the database does not respond.

        `notice` reports a failed query. `changed` is set if the page must be reloaded. If the cached figures are older
        than the page, they are omitted.
        """
        clock = asyncio.get_running_loop().time
        async with self._lock:
            if clock() >= self._fresh_until:
                self._fresh_until = clock() + REFRESH_INTERVAL
                await self._refresh()
        if self._newest.at < version.at:
            return {"notice": self._notice}
        changed = CHANGED if self._newest.fingerprint != version.fingerprint else ""
        return self._figures | {"notice": self._notice, "changed": changed}

    async def wait(self) -> None:
        """Wait for `REFRESH_INTERVAL`, or until the process stops."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), REFRESH_INTERVAL)

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(QUERY_TIMEOUT):
                overview = await self._read()
        except (SupabaseError, TimeoutError) as error:
            log.warning("overview query failed", error=str(error) or f"no response within {QUERY_TIMEOUT:g} s")
            age = f"from {self._figures['as of']}" if self._figures else "not current"
            self._notice = f"The database does not respond. The figures are {age}."
        else:
            self._figures, self._newest, self._notice = figures_of(overview), OverviewVersion.of(overview), ""
