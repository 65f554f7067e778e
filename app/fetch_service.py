"""Gathers a day's edition: each source through its circuit breaker, into the database, whether or not others fail."""

import asyncio
from collections.abc import Sequence
from datetime import date

import structlog

from app.errors import CircuitOpen, SourceError
from app.models import Edition, EditionStatus, Report
from app.persistence.circuit_breaker import CircuitBreakers
from app.persistence.sources import DailySources
from app.sources.source import Source

log = structlog.get_logger(__name__)


class FetchService:
    """Fetches editions. Fetching a day twice is harmless: what is there is replaced by the same."""

    def __init__(self, daily: DailySources, breakers: CircuitBreakers, sources: Sequence[Source]) -> None:
        self._daily = daily
        self._breakers = breakers
        self._sources = sources

    async def fetch(self, source_date: date, report: Report) -> Edition:
        """Fetch a day from all sources at once and store it; one failing source makes the edition partial.

        Raises `SourceError` when all of them fail, and `SupabaseError`.
        """
        await self._daily.begin_edition(source_date)
        await report(f"fetching {source_date} from {len(self._sources)} sources", 0.05)
        done = 0

        async def fetched(source: Source) -> str | None:
            nonlocal done
            error = await self._from(source, source_date)
            done += 1
            await report(f"{done} of {len(self._sources)} sources read", 0.05 + 0.9 * done / len(self._sources))
            return error

        async with asyncio.TaskGroup() as group:
            tasks = {source.name: group.create_task(fetched(source)) for source in self._sources}
        errors = {name: error for name, task in tasks.items() if (error := task.result()) is not None}
        return await self._finish(source_date, errors)

    async def _from(self, source: Source, source_date: date) -> str | None:
        """Read one source into the database; why it failed, or None. Raises `SupabaseError`."""
        try:
            async with self._breakers.guard(source.name, SourceError):
                articles = await source.fetch(source_date)
        except (SourceError, CircuitOpen) as error:
            log.warning("source failed", source=source.name, source_date=str(source_date), error=str(error))
            return str(error)
        await self._daily.save_articles(source_date, articles)
        log.info("source read", source=source.name, source_date=str(source_date), articles=len(articles))
        return None

    async def _finish(self, source_date: date, errors: dict[str, str]) -> Edition:
        if not errors:
            return await self._daily.finish_edition(source_date, EditionStatus.COMPLETED, {})
        if len(errors) < len(self._sources):
            return await self._daily.finish_edition(source_date, EditionStatus.PARTIAL, errors)
        await self._daily.finish_edition(source_date, EditionStatus.FAILED, errors)
        reasons = "; ".join(f"{name}: {error}" for name, error in errors.items())
        raise SourceError(f"no source could be read: {reasons}")
