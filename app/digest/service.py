"""Writes a digest from an edition: waits for the fetch, then writes what `DigestWriter` makes of the edition."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial
from uuid import UUID

from app.digest.analysis import Analyst
from app.digest.introduction import introduction
from app.digest.writing import DigestWriter, Material
from app.errors import EditionNotFound, FetchLimitReached, PermanentError
from app.models.articles import Edition, EditionStatus
from app.models.digests import Digest
from app.models.profiles import Profile, RatedPaper
from app.models.tasks import Task, TaskStatus
from app.models.values import ReportProgress
from app.persistence.editions import Editions
from app.persistence.items import LONGEST_WAIT_FOR_FETCH
from app.persistence.tasks import TaskStateManager
from app.ranking.index_cache import EditionIndexCache
from app.ranking.ranking import RankingSettings

FRESH_FOR = 60.0
"""Seconds for which a process assumes that an incomplete edition needs no fetch."""

READY = (EditionStatus.COMPLETED, EditionStatus.PARTIAL)


class EditionPending(Exception):
    """The day's edition is not ready. The task `fetch_id` fetches it."""

    def __init__(self, message: str, fetch_id: UUID) -> None:
        super().__init__(message)
        self.fetch_id = fetch_id


class DigestService:
    """Writes digests from stored editions, and fetches missing editions first."""

    def __init__(self, daily: Editions, tasks: TaskStateManager, analyst: Analyst) -> None:
        self._daily = daily
        self._index_cache = EditionIndexCache(daily)
        self._tasks = tasks
        self._fresh: dict[date, tuple[datetime, float]] = {}
        self._writer = DigestWriter(analyst)

    async def write(
        self,
        task_id: UUID,
        source_date: date,
        profile: Profile,
        settings: RankingSettings,
        report: ReportProgress,
        papers: Sequence[RatedPaper] = (),
        *,
        waited: timedelta = timedelta(0),
    ) -> Digest:
        """Write the digest of a task for the profile and the rated `papers`.

        Raises `EditionPending` while the day is fetched; if an incomplete edition exists, for at most ten minutes since
        the task started (`waited`). Raises `PermanentError` if the fetch failed and there is no edition, and
        `FetchLimitReached` and `SupabaseError`.
        """
        edition = await self._edition(task_id, source_date, waited)
        await report(f"reading the edition of {source_date}", 0.1)
        index = await self._index_cache.index([edition])
        material = Material(
            source_date=source_date,
            index=index,
            status=edition.status,
            source_errors=edition.errors,
            introduce=partial(introduction, source_date, status=edition.status),
            papers=papers,
        )
        return await self._writer.write(material, profile, settings, report)

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
        """Fetch an incomplete day again. Raises `EditionPending` while the digest should wait for it."""
        if edition.complete or waited >= LONGEST_WAIT_FOR_FETCH or self._is_fresh(edition):
            return
        try:
            fetch = await self._tasks.refresh_fetch(edition.source_date, waiting=task_id)
        except FetchLimitReached:
            return  # Use the incomplete edition.
        if fetch is None:
            self._fresh[edition.source_date] = (edition.updated_at, asyncio.get_running_loop().time() + FRESH_FOR)
        elif not fetch.status.is_final:
            raise _pending(fetch, edition.source_date)

    def _is_fresh(self, edition: Edition) -> bool:
        """Whether another digest recently found that this edition needs no fetch."""
        entry = self._fresh.get(edition.source_date)
        return entry is not None and entry[0] == edition.updated_at and asyncio.get_running_loop().time() < entry[1]


def _pending(fetch: Task, source_date: date) -> EditionPending:
    error = f": {fetch.error}" if fetch.error else ""
    return EditionPending(f"waiting for the edition of {source_date}{error}", fetch.task_id)
