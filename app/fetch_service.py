"""Gathers a day's edition: each source through its circuit breaker, into the database, whether or not others fail."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from traceback import format_tb

import structlog

from app.errors import CircuitOpen, SourceBusy, SourceError
from app.models import Article, Edition, EditionStatus, Report
from app.persistence.circuit_breaker import CircuitBreakers
from app.persistence.editions import Editions
from app.sources.source import Source
from app.sources.text import plain

log = structlog.get_logger(__name__)

Trouble = SourceError | CircuitOpen | SourceBusy

MAX_REASON = 500


class FetchPostponed(Exception):
    """Sources ask to be left alone for `delay`; what the others have is stored, and the edition is not finished."""

    def __init__(self, delay: timedelta, reason: str) -> None:
        super().__init__(reason)
        self.delay = delay


class FetchService:
    """Fetches editions. Fetching a day twice is harmless: what is there is replaced by the same."""

    def __init__(self, daily: Editions, breakers: CircuitBreakers, sources: Sequence[Source]) -> None:
        self._daily = daily
        self._breakers = breakers
        self._sources = sources

    async def fetch(self, source_date: date, report: Report, patience: timedelta) -> Edition:
        """Fetch a day from all sources at once and store it; one failing source makes the edition partial.

        Raises `FetchPostponed` when a source asks to be left alone for no longer than `patience`, `SourceError` when
        all of them fail, and `SupabaseError`.
        """
        await self._daily.begin_edition(source_date)
        await report(f"fetching {source_date} from {len(self._sources)} sources", 0.05)
        done = 0

        async def fetched(source: Source) -> int | Trouble:
            nonlocal done
            brought = await self._from(source, source_date)
            done += 1
            await report(f"{done} of {len(self._sources)} sources read", 0.05 + 0.9 * done / len(self._sources))
            return brought

        try:
            async with asyncio.TaskGroup() as group:
                tasks = {source.name: group.create_task(fetched(source)) for source in self._sources}
        except ExceptionGroup as errors:
            # Supabase fails, or the lease is lost: one of them says it as well as all.
            raise _first(errors) from errors
        brought = {name: task.result() for name, task in tasks.items()}
        _require_no_wait(brought, patience)
        told = {name: each if isinstance(each, int) else str(each) for name, each in brought.items()}
        await self._daily.note_sources(source_date, told)
        return await self._finish(source_date, {name: each for name, each in told.items() if isinstance(each, str)})

    async def _from(self, source: Source, source_date: date) -> int | Trouble:
        """Read one source into the database; how many items it gave, or why it failed. Raises `SupabaseError`."""
        try:
            async with self._breakers.guard(source.name, SourceError):
                articles = await _articles(source, source_date)
        except (SourceError, CircuitOpen, SourceBusy) as error:
            log.warning("source failed", source=source.name, source_date=str(source_date), error=str(error))
            return error
        await self._daily.save_articles(source_date, articles)
        log.info("source read", source=source.name, source_date=str(source_date), articles=len(articles))
        return len(articles)

    async def _finish(self, source_date: date, errors: dict[str, str]) -> Edition:
        if not errors:
            return await self._daily.finish_edition(source_date, EditionStatus.COMPLETED, {})
        if len(errors) < len(self._sources):
            return await self._daily.finish_edition(source_date, EditionStatus.PARTIAL, errors)
        await self._daily.finish_edition(source_date, EditionStatus.FAILED, errors)
        reasons = "; ".join(f"{name}: {error}" for name, error in errors.items())
        raise SourceError(f"no source could be read: {reasons}")


async def _articles(source: Source, source_date: date) -> list[Article]:
    """Fetch from one source; whatever it does to us is its own error, in words, and no other source's."""
    try:
        return await source.fetch(source_date)
    except SourceBusy:
        raise
    except SourceError as error:
        raise SourceError(plain(str(error), MAX_REASON)) from error
    except Exception as error:
        # What it says comes from outside: cut, here too.
        reason, where = plain(f"{type(error).__name__}: {error}", MAX_REASON), format_tb(error.__traceback__, limit=-3)
        log.error("source failed unexpectedly", source=source.name, reason=reason, where="".join(where))
        raise SourceError(reason) from error


def _require_no_wait(brought: Mapping[str, int | Trouble], patience: timedelta) -> None:
    """Raise `FetchPostponed` if it is worth waiting for those that are busy."""
    busy = {name: error for name, error in brought.items() if isinstance(error, SourceBusy)}
    if not busy:
        return
    delay = timedelta(seconds=max(error.retry_after for error in busy.values()))
    if delay <= patience:
        raise FetchPostponed(delay, "; ".join(f"{name}: {error}" for name, error in busy.items()))


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
