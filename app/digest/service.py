"""Writes a digest: waits for the edition, ranks it, analyses the best, renders the page."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from app.digest.analysis import Analysed, Analyst
from app.digest.introduction import introduction
from app.digest.rendering import DigestRenderer
from app.errors import EditionNotFound, PermanentError
from app.models import Digest, Edition, EditionStatus, Profile, RatedPaper, Report, TaskStatus
from app.persistence.editions import Editions
from app.persistence.tasks import TaskStateManager
from app.ranking.ranking import Ranking, RankingSettings, rank
from app.ranking.shelf import EditionShelf

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
        self._shelf = EditionShelf(daily)
        self._tasks = tasks
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
    ) -> tuple[Digest, str]:
        """Write the digest that a task asks for, by the profile and the `papers` that the reader rated.

        Returns it with its page. Raises `EditionPending` while the day is being fetched, `PermanentError` when that
        failed after the task was made, and `SupabaseError`.
        """
        edition = await self._edition(task_id, source_date)
        await report(f"reading the edition of {source_date}", 0.1)
        index = await self._shelf.index([edition])
        await report(f"ranking {len(index.articles):,} articles", 0.2)
        analysis = self._analyst.begin(profile)
        ranking = await rank(index, profile, settings, papers, analysis.reorder)
        chosen = [*ranking.papers, *ranking.news]
        await report(f"analysing {len(chosen)} articles", 0.4)
        analysed = await analysis.analyse(chosen)
        await report("laying out the page", 0.95)
        digest = _digest(edition, profile, ranking, analysed)
        return digest, await self._renderer.render(digest)

    async def _edition(self, task_id: UUID, source_date: date) -> Edition:
        try:
            edition = await self._daily.get_edition(source_date)
        except EditionNotFound:
            edition = None
        if edition is not None and edition.status in READY:
            return edition
        fetch = await self._tasks.ensure_fetch(source_date, waiting=task_id)
        if fetch.status in {TaskStatus.FAILED, TaskStatus.CANCELLED}:
            raise PermanentError(f"the edition of {source_date} could not be fetched: {fetch.error or fetch.status}")
        raise EditionPending(f"waiting for the edition of {source_date}", fetch.task_id)


def _digest(edition: Edition, profile: Profile, ranking: Ranking, analysed: Analysed) -> Digest:
    papers = len(ranking.papers)
    return Digest(
        source_date=edition.source_date,
        profile=profile,
        introduction=introduction(edition.source_date, ranking),
        papers=analysed.items[:papers],
        news=analysed.items[papers:],
        considered=ranking.considered,
        edition_status=edition.status,
        source_errors=edition.errors,
        usage=analysed.usage,
    )
