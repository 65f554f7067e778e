"""Writes a digest: waits for the edition, ranks it, analyses the best, renders the page."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from app.digest.analysis import Analysed, Analyst
from app.digest.introduction import introduction
from app.digest.rendering import DigestRenderer
from app.errors import EditionNotFound, FetchLimitReached, PermanentError
from app.models import Digest, Edition, EditionStatus, Profile, RatedPaper, Report, Task, TaskStatus
from app.persistence.editions import Editions
from app.persistence.items import LONGEST_WAIT_FOR_FETCH
from app.persistence.tasks import TaskStateManager
from app.ranking.ranking import Ranking, RankingSettings, rank
from app.ranking.shelf import EditionIndexCache

FRESH_FOR = 60.0
"""Seconds for which a process believes that an incomplete edition needs no fetch now."""

READY = (EditionStatus.COMPLETED, EditionStatus.PARTIAL)


class EditionPending(Exception):
    """The day's edition is not there yet; the task `fetch_id` gets it."""

    def __init__(self, message: str, fetch_id: UUID) -> None:
        super().__init__(message)
        self.fetch_id = fetch_id


class DigestService:
    """Writes digests from stored editions; a day that nobody fetched is fetched first."""

    def __init__(self, daily: Editions, tasks: TaskStateManager, analyst: Analyst, renderer: DigestRenderer) -> None:
        self._daily = daily
        self._index_cache = EditionIndexCache(daily)
        self._tasks = tasks
        self._fresh: dict[date, tuple[datetime, float]] = {}
        self._analyst = analyst
        self._renderer = renderer

    async def write(
        self,
        task_id: UUID,
        source_date: date,
        profile: Profile,
        settings: RankingSettings,
        report: Report,
        papers: Sequence[RatedPaper] = (),
        *,
        waited: timedelta = timedelta(0),
    ) -> tuple[Digest, str]:
        """Write the digest that a task asks for, by the profile and the `papers` that the reader rated.

        Returns it with its page. Raises `EditionPending` while the day is being fetched, for ten minutes at most since
        the task was begun (`waited`) where there is an edition; `PermanentError` when the fetch failed after the task
        was made and there is none; `FetchLimitReached`; and `SupabaseError`.
        """
        edition = await self._edition(task_id, source_date, waited)
        await report(f"reading the edition of {source_date}", 0.1)
        index = await self._index_cache.index([edition])
        await report(f"ranking {len(index.articles):,} articles", 0.2)
        analysis = self._analyst.begin(profile)
        ranking = await rank(index, profile, settings, papers, analysis.reorder)
        chosen = [*ranking.papers, *ranking.news]
        await report(f"analysing {len(chosen)} articles", 0.4)
        analysed = await analysis.analyse(chosen)
        await report("laying out the page", 0.95)
        digest = _digest(edition, profile, ranking, analysed)
        return digest, await self._renderer.render(digest)

    async def _edition(self, task_id: UUID, source_date: date, waited: timedelta) -> Edition:
        try:
            edition = await self._daily.get_edition(source_date)
        except EditionNotFound:
            edition = None
        if edition is not None and edition.status in READY:
            await self._refresh(edition, task_id, waited)
            return edition
        fetch = await self._tasks.ensure_fetch(source_date, waiting=task_id)
        if fetch.status in {TaskStatus.FAILED, TaskStatus.CANCELLED}:
            raise PermanentError(f"the edition of {source_date} could not be fetched: {fetch.error or fetch.status}")
        raise _pending(fetch, source_date)

    async def _refresh(self, edition: Edition, task_id: UUID, waited: timedelta) -> None:
        """Have an incomplete day fetched again. Raises `EditionPending` while that is worth waiting for."""
        if edition.complete or waited >= LONGEST_WAIT_FOR_FETCH or self._is_fresh(edition):
            return
        try:
            fetch = await self._tasks.refresh_fetch(edition.source_date, waiting=task_id)
        except FetchLimitReached:
            return  # What there is will do.
        if fetch is None:
            self._fresh[edition.source_date] = (edition.updated_at, asyncio.get_running_loop().time() + FRESH_FOR)
        elif not fetch.status.is_final:
            raise _pending(fetch, edition.source_date)

    def _is_fresh(self, edition: Edition) -> bool:
        """Whether a digest just heard that this edition needs no fetch now: the others of a batch need not ask."""
        known = self._fresh.get(edition.source_date)
        return known is not None and known[0] == edition.updated_at and asyncio.get_running_loop().time() < known[1]


def _pending(fetch: Task, source_date: date) -> EditionPending:
    known = f": {fetch.error}" if fetch.error else ""
    return EditionPending(f"waiting for the edition of {source_date}{known}", fetch.task_id)


def _digest(edition: Edition, profile: Profile, ranking: Ranking, analysed: Analysed) -> Digest:
    papers = len(ranking.papers)
    return Digest(
        source_date=edition.source_date,
        profile=profile,
        introduction=introduction(edition.source_date, ranking, edition.status),
        papers=analysed.items[:papers],
        news=analysed.items[papers:],
        considered=ranking.considered,
        edition_status=edition.status,
        source_errors=edition.errors,
        usage=analysed.usage,
    )
