"""Gathers a day's edition: each source through its circuit breaker, into the database, whether or not others fail."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from traceback import format_tb
from uuid import UUID

import structlog

from app.errors import CircuitOpen, SourceBusy, SourceError, SourceUnavailable
from app.models import Article, Edition, EditionStatus, ReportProgress
from app.persistence.circuit_breaker import CircuitBreakers, failure_at
from app.persistence.editions import Editions, Reading
from app.sources.fetcher import FetchFailed
from app.sources.source import Source
from app.sources.text import plain

log = structlog.get_logger(__name__)

MAX_REASON = 500

RETRY_UNREACHABLE = 15.0
"""Seconds until a source that named no time is tried again, at the earliest."""


LONGEST_RECOVERY = 90.0
"""Seconds that a fetch waits for the other sources when the first one can be read again, at most."""


class FetchPostponed(Exception):
    """Sources are unavailable for `delay` at least; what the others have is stored."""

    def __init__(self, delay: timedelta, reason: str) -> None:
        super().__init__(reason)
        self.delay = delay


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a source was not read; `retry_after` are the seconds until it may be, None where waiting does not help."""

    cause: str
    retry_after: float | None

    def told(self, pause: timedelta | None) -> str:
        """The cause, and, if the fetch was postponed for `pause` at least, when the source will be tried again."""
        if pause is None or self.retry_after is None:
            return self.cause
        return f"{self.cause}, will be retried in {max(self.retry_after, pause.total_seconds()):.0f} s"


Outcomes = Mapping[str, int | Failure]
"""Of each source how many items it gave, or why it was not read."""


class FetchService:
    """Fetches editions. Fetching a day twice is harmless: what is there is replaced by the same."""

    def __init__(
        self,
        daily: Editions,
        breakers: CircuitBreakers,
        sources: Sequence[Source],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._daily = daily
        self._breakers = breakers
        self._sources = sources
        self._now = now

    async def fetch(
        self,
        source_date: date,
        task_id: UUID,
        report: ReportProgress,
        patience: timedelta,
        *,
        pause: timedelta = timedelta(0),
    ) -> Edition:
        """Fetch a day from all sources at once and store it; one failing source makes the edition partial.

        What the task has read is not read again when it is repeated. Raises `FetchPostponed` while no source can be
        read, and while an essential one is unavailable for no longer than `patience`: for `pause` at least.
        Raises `SourceError` when all of them fail and waiting does not help; and `SupabaseError`.
        """
        edition = await self._daily.begin_edition(source_date)
        plan = await self._daily.plan_fetch(source_date, task_id)
        left = [source for source in self._sources if source.name not in plan.kept]
        read = await self._read_all(source_date, left, report)
        outcomes = {source.name: read.get(source.name, plan.kept.get(source.name, 0)) for source in self._sources}
        delay = self._worth_waiting(outcomes, patience, recovering=bool(edition.errors) and not plan.kept)
        if delay is not None:
            delay = max(delay, pause)
        errors = {name: each.told(None if delay is None else pause) for name, each in _failures(outcomes).items()}
        readings = [
            Reading(source.name, source.complete_from(source_date), _items(read[source.name]), errors.get(source.name))
            for source in left
        ]
        await self._daily.record_readings(source_date, task_id, plan.at, readings)
        return await self._finish(source_date, outcomes, errors, delay)

    async def _read_all(self, source_date: date, sources: Sequence[Source], report: ReportProgress) -> Outcomes:
        await report(f"fetching {source_date} from {len(sources)} sources", 0.05)
        done = 0

        async def fetched(source: Source) -> int | Failure:
            nonlocal done
            outcome = await self._from(source, source_date)
            done += 1
            await report(f"{done} of {len(sources)} sources read", 0.05 + 0.9 * done / len(sources))
            return outcome

        try:
            async with asyncio.TaskGroup() as group:
                tasks = {source.name: group.create_task(fetched(source)) for source in sources}
        except ExceptionGroup as errors:
            # Supabase fails, or the lease is lost: one of them says it as well as all.
            raise _first(errors) from errors
        return {name: task.result() for name, task in tasks.items()}

    async def _from(self, source: Source, source_date: date) -> int | Failure:
        """Read one source into the database; how many items it gave, or why it failed. Raises `SupabaseError`."""
        try:
            async with self._breakers.guard(source.name, SourceError):
                articles = await _articles(source, source_date)
        except (SourceError, CircuitOpen, SourceBusy) as error:
            log.warning("source failed", source=source.name, source_date=str(source_date), error=str(error))
            return self._failure(error)
        await self._daily.save_articles(source_date, articles)
        log.info("source read", source=source.name, source_date=str(source_date), articles=len(articles))
        return len(articles)

    def _failure(self, error: SourceError | CircuitOpen | SourceBusy) -> Failure:
        if isinstance(error, CircuitOpen):
            return Failure(error.cause, error.retry_after)
        cause = failure_at(str(error), self._now())
        if isinstance(error, SourceBusy):
            return Failure(cause, error.retry_after)
        if isinstance(error, SourceUnavailable):
            return Failure(cause, RETRY_UNREACHABLE if error.retry_after is None else error.retry_after)
        return Failure(cause, None)

    async def _finish(
        self, source_date: date, outcomes: Outcomes, errors: Mapping[str, str], delay: timedelta | None
    ) -> Edition:
        status = _status(outcomes, errors) if delay is None else EditionStatus.FETCHING
        edition = await self._daily.finish_edition(source_date, status, errors, list(outcomes))
        reasons = "; ".join(f"{name}: {error}" for name, error in errors.items())
        if delay is not None:
            raise FetchPostponed(delay, reasons)
        if status is EditionStatus.FAILED:
            raise SourceError(f"no source could be read: {reasons}")
        return edition

    def _worth_waiting(self, outcomes: Outcomes, patience: timedelta, *, recovering: bool) -> timedelta | None:
        """How long the fetch should wait; None if the edition is to go without those that failed.

        `recovering`: until now, no source could be read. Where one can, the others get one more try.
        """
        failures = _failures(outcomes)
        waits = {name: each.retry_after for name, each in failures.items() if each.retry_after is not None}
        if waits and len(failures) == len(self._sources):
            return timedelta(seconds=min(waits.values()))
        if recovering and waits and max(waits.values()) <= LONGEST_RECOVERY:
            return timedelta(seconds=max(waits.values()))
        essential = [waits[source.name] for source in self._sources if source.essential and source.name in waits]
        delay = timedelta(seconds=max(essential, default=0))
        return delay if essential and delay <= patience else None


def _status(outcomes: Outcomes, errors: Mapping[str, str]) -> EditionStatus:
    if not errors:
        return EditionStatus.COMPLETED
    return EditionStatus.PARTIAL if len(errors) < len(outcomes) else EditionStatus.FAILED


def _failures(outcomes: Outcomes) -> dict[str, Failure]:
    return {name: each for name, each in outcomes.items() if isinstance(each, Failure)}


def _items(outcome: int | Failure) -> int | None:
    return None if isinstance(outcome, Failure) else outcome


async def _articles(source: Source, source_date: date) -> list[Article]:
    """Fetch from one source; whatever it does to us is its own error, in words, and no other source's."""
    try:
        return await source.fetch(source_date)
    except SourceBusy:
        raise
    except SourceError as error:
        reason = plain(str(error), MAX_REASON)
        if isinstance(error, SourceUnavailable) or (isinstance(error, FetchFailed) and error.transient):
            raise SourceUnavailable(reason, retry_after=error.retry_after) from error
        raise SourceError(reason) from error
    except Exception as error:
        # What it says comes from outside: cut, here too.
        reason, where = plain(f"{type(error).__name__}: {error}", MAX_REASON), format_tb(error.__traceback__, limit=-3)
        log.error("source failed unexpectedly", source=source.name, reason=reason, where="".join(where))
        raise SourceError(reason) from error


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
