"""Writes a digest: waits for the edition, ranks it, analyses the best, renders the page."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from uuid import UUID, uuid4

from app.digest.analysis import Analysed, Analyst
from app.digest.introduction import introduction
from app.digest.rendering import DigestRenderer
from app.errors import EditionNotFound, PermanentError
from app.models import Digest, Edition, EditionStatus, Profile, RatedPaper, TaskKind, TaskStatus
from app.persistence.sources import DailySources
from app.persistence.tasks import TaskStateManager, fetch_key
from app.ranking.ranking import Ranking, RankingSettings, rank
from app.ranking.shelf import EditionShelf

Report = Callable[[str, float], Awaitable[None]]
"""Called with a message for people and how far the work is, 0 to 1."""

READY = (EditionStatus.COMPLETED, EditionStatus.PARTIAL)


class EditionPending(Exception):
    """The day's edition is not there yet; it has been asked for."""


class DigestService:
    """Writes digests from stored editions; a day that nobody fetched is fetched first."""

    def __init__(
        self, daily: DailySources, tasks: TaskStateManager, analyst: Analyst, renderer: DigestRenderer
    ) -> None:
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
        return digest, self._renderer.render(digest)

    async def _edition(self, task_id: UUID, source_date: date) -> Edition:
        try:
            edition = await self._daily.get_edition(source_date)
        except EditionNotFound:
            edition = None
        if edition is not None and edition.status in READY:
            return edition
        await self._require_hope(task_id, source_date)
        await self._tasks.create_task_with_source_date(
            task_id=uuid4(),
            kind=TaskKind.FETCH,
            payload={},
            source_date=source_date,
            # Somebody waits for this one: before the fetches that nobody asked for.
            priority=0,
            idempotency_key=fetch_key(source_date),
        )
        raise EditionPending(f"waiting for the edition of {source_date}")

    async def _require_hope(self, task_id: UUID, source_date: date) -> None:
        """Raise `PermanentError` if the day's last fetch failed while this digest waited for it."""
        task = await self._tasks.get_task(task_id)
        page = await self._tasks.list_tasks(kind=TaskKind.FETCH, source_date=source_date, limit=1)
        for fetch in page.tasks:
            ended_badly = fetch.status in {TaskStatus.FAILED, TaskStatus.CANCELLED}
            if ended_badly and fetch.finished_at is not None and fetch.finished_at >= task.created_at:
                raise PermanentError(
                    f"the edition of {source_date} could not be fetched: {fetch.error or fetch.status}"
                )


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
