"""Fetches a day's edition: reads all sources at once, each behind its circuit breaker, and stores their articles."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from traceback import format_tb
from uuid import UUID

import structlog

from app.errors import CircuitOpen, SourceBusy, SourceError, SourceUnavailable
from app.models.articles import Article, Edition, EditionStatus
from app.models.values import ReportProgress
from app.persistence.circuit_breaker import CircuitBreakers, describe_failure
from app.persistence.editions import Editions, Reading
from app.sources.fetcher import FetchFailed
from app.sources.source import IncompleteSource, Source
from app.sources.text import plain

log = structlog.get_logger(__name__)

MAX_REASON = 500

RETRY_UNREACHABLE = 15.0
"""The least seconds until a source that named no time is tried again."""


MAX_RECOVERY_WAIT = 90.0
"""The most seconds that a fetch waits for the other sources when the first one can be read again."""


class FetchPostponed(Exception):
    """Sources are unavailable for at least `delay`. The articles of the others are stored."""

    def __init__(self, delay: timedelta, reason: str) -> None:
        super().__init__(reason)
        self.delay = delay


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a source was not read. `retry_after`: seconds until a retry may succeed; None: waiting does not help."""

    cause: str
    retry_after: float | None

    def message(self, pause: timedelta | None) -> str:
        """Return the cause and, if the fetch was postponed for at least `pause`, when the source will be retried."""
        if pause is None or self.retry_after is None:
            return self.cause
        return f"{self.cause}, will be retried in {max(self.retry_after, pause.total_seconds()):.0f} s"


Outcomes = Mapping[str, int | Failure]
"""For each source the number of its items, or why it was not read."""


class FetchService:
    """Fetches editions. Fetching a day twice is harmless: articles replace their earlier copies."""

    def __init__(
        self,
        editions: Editions,
        breakers: CircuitBreakers,
        sources: Sequence[Source],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._editions = editions
        self._breakers = breakers
        self._sources = sources
        self._now = now

    async def fetch(
        self,
        source_date: date,
        task_id: UUID,
        report: ReportProgress,
        max_wait: timedelta,
        *,
        pause: timedelta = timedelta(0),
    ) -> Edition:
        """Fetch a day from all sources at once and store it. A failing source makes the edition partial.

        A repetition of the task does not read again what it has read. Raises `FetchPostponed`, with a delay of at least
        `pause`, while no source can be read, and while an essential one is unavailable for no longer than `max_wait`.
        Raises `SourceError` if all sources fail and waiting does not help; and `SupabaseError`.
        """
        edition = await self._editions.begin_edition(source_date)
        plan = await self._editions.plan_fetch(source_date, task_id)
        unread = [source for source in self._sources if source.name not in plan.kept]
        read = await self._read_all(source_date, unread, report)
        outcomes = {source.name: read.get(source.name, plan.kept.get(source.name, 0)) for source in self._sources}
        delay = self._delay(outcomes, max_wait, recovering=bool(edition.errors) and not plan.kept)
        if delay is not None:
            delay = max(delay, pause)
        errors = {name: each.message(None if delay is None else pause) for name, each in _failures(outcomes).items()}
        readings = [
            Reading(source.name, source.complete_from(source_date), _items(read[source.name]), errors.get(source.name))
            for source in unread
        ]
        await self._editions.record_readings(source_date, task_id, plan.at, readings)
        return await self._finish(source_date, outcomes, errors, delay)

    async def _read_all(self, source_date: date, sources: Sequence[Source], report: ReportProgress) -> Outcomes:
        await report(f"fetching {source_date} from {len(sources)} sources", 0.05)
        done = 0

        async def read(source: Source) -> int | Failure:
            nonlocal done
            outcome = await self._read_source(source, source_date)
            done += 1
            await report(f"{done} of {len(sources)} sources read", 0.05 + 0.9 * done / len(sources))
            return outcome

        try:
            async with asyncio.TaskGroup() as group:
                tasks = {source.name: group.create_task(read(source)) for source in sources}
        except ExceptionGroup as errors:
            # Supabase fails, or the lease is lost: all errors of the group have the same cause.
            raise _first(errors) from errors
        return {name: task.result() for name, task in tasks.items()}

    async def _read_source(self, source: Source, source_date: date) -> int | Failure:
        """Read one source and store its articles. Return their number, or why it failed. Raises `SupabaseError`."""
        try:
            async with self._breakers.guard(source.name, SourceError):
                articles = await _articles(source, source_date)
        except (SourceError, CircuitOpen, SourceBusy) as error:
            log.warning("source failed", source=source.name, source_date=str(source_date), error=str(error))
            if isinstance(error, IncompleteSource):
                await self._editions.save_articles(source_date, error.articles)
            return self._failure(error)
        await self._editions.save_articles(source_date, articles)
        log.info("source read", source=source.name, source_date=str(source_date), articles=len(articles))
        return len(articles)

    def _failure(self, error: SourceError | CircuitOpen | SourceBusy) -> Failure:
        if isinstance(error, CircuitOpen):
            return Failure(error.cause, error.retry_after)
        cause = describe_failure(str(error), self._now())
        if isinstance(error, SourceBusy):
            return Failure(cause, error.retry_after)
        if isinstance(error, SourceUnavailable):
            return Failure(cause, RETRY_UNREACHABLE if error.retry_after is None else error.retry_after)
        return Failure(cause, None)

    async def _finish(
        self, source_date: date, outcomes: Outcomes, errors: Mapping[str, str], delay: timedelta | None
    ) -> Edition:
        status = _status(outcomes, errors) if delay is None else EditionStatus.FETCHING
        edition = await self._editions.finish_edition(source_date, status, errors, list(outcomes))
        reasons = "; ".join(f"{name}: {error}" for name, error in errors.items())
        if delay is not None:
            raise FetchPostponed(delay, reasons)
        if status is EditionStatus.FAILED:
            raise SourceError(f"no source could be read: {reasons}")
        return edition

    def _delay(self, outcomes: Outcomes, max_wait: timedelta, *, recovering: bool) -> timedelta | None:
        """Return how long the fetch should wait; None: finish the edition without the failed sources.

        `recovering`: no source could be read before. If one can now, the others get one more attempt.
        """
        failures = _failures(outcomes)
        waits = {name: each.retry_after for name, each in failures.items() if each.retry_after is not None}
        if waits and len(failures) == len(self._sources):
            return timedelta(seconds=min(waits.values()))
        if recovering and waits and max(waits.values()) <= MAX_RECOVERY_WAIT:
            return timedelta(seconds=max(waits.values()))
        essential = [waits[source.name] for source in self._sources if source.essential and source.name in waits]
        delay = timedelta(seconds=max(essential, default=0))
        return delay if essential and delay <= max_wait else None


def _status(outcomes: Outcomes, errors: Mapping[str, str]) -> EditionStatus:
    if not errors:
        return EditionStatus.COMPLETED
    return EditionStatus.PARTIAL if len(errors) < len(outcomes) else EditionStatus.FAILED


def _failures(outcomes: Outcomes) -> dict[str, Failure]:
    return {name: each for name, each in outcomes.items() if isinstance(each, Failure)}


def _items(outcome: int | Failure) -> int | None:
    return None if isinstance(outcome, Failure) else outcome


async def _articles(source: Source, source_date: date) -> list[Article]:
    """Fetch from one source. Any error becomes a SourceError of this source, with a short reason."""
    try:
        return await source.fetch(source_date)
    except SourceBusy:
        raise
    except IncompleteSource as error:
        raise IncompleteSource(plain(str(error), MAX_REASON), error.articles) from error
    except SourceError as error:
        reason = plain(str(error), MAX_REASON)
        if isinstance(error, SourceUnavailable) or (isinstance(error, FetchFailed) and error.transient):
            raise SourceUnavailable(reason, retry_after=error.retry_after) from error
        raise SourceError(reason) from error
    except Exception as error:
        # The text may come from the server: shorten and clean it here too.
        reason, where = plain(f"{type(error).__name__}: {error}", MAX_REASON), format_tb(error.__traceback__, limit=-3)
        log.error("source failed unexpectedly", source=source.name, reason=reason, where="".join(where))
        raise SourceError(reason) from error


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
