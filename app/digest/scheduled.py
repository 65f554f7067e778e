"""Writes scheduled digests: items that are new to the reader, whatever their date."""

from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from app.digest.analysis import Analyst
from app.digest.introduction import introduction_since
from app.digest.rendering import DigestRenderer
from app.models import Digest, EditionStatus, Profile, ReportProgress, Task
from app.persistence.items import LONGEST_WAIT_FOR_FETCH, Items, MissingSource, NewItems
from app.persistence.tasks import TaskStateManager
from app.ranking.index_cache import ItemIndexCache
from app.ranking.ranking import Ranking, RankingSettings, Reorder, rank

_NOTHING = Ranking((), (), considered=0, duplicates=0)


class FetchRunning(Exception):
    """The fetch `fetch_id` is still running. The digest waits for it for at most `max_wait`."""

    def __init__(self, reason: str, fetch_id: UUID, max_wait: timedelta) -> None:
        super().__init__(reason)
        self.fetch_id = fetch_id
        self.max_wait = max_wait


@dataclass(frozen=True, slots=True)
class ScheduledDigest:
    """A due digest: its task, reader, local day and newest source date, and the time since the task started."""

    task_id: UUID
    reader_id: UUID
    local_day: date
    source_date: date
    waited: timedelta


class ScheduledDigests:
    """Writes digests of items since a reader's last digest, from the sources that could be read."""

    def __init__(
        self,
        items: Items,
        tasks: TaskStateManager,
        analyst: Analyst,
        renderer: DigestRenderer,
        *,
        max_wait: timedelta = timedelta(hours=6),
    ) -> None:
        self._items = items
        self._tasks = tasks
        self._max_wait = max_wait
        self._index_cache = ItemIndexCache(items)
        self._analyst = analyst
        self._renderer = renderer

    async def write(
        self, due: ScheduledDigest, profile: Profile, settings: RankingSettings, report: ReportProgress
    ) -> tuple[Digest, str]:
        """Write the digest of one of the reader's days, which may be empty. Returns the digest and its page.

        Raises `SupabaseError`, and `FetchRunning` for at most ten minutes. While no source was read for the day, it
        raises `FetchRunning` for at most `max_wait` and the rest of the reader's day.
        """
        news = await self._items.new_items_for(due.reader_id, due.source_date, due.local_day)
        await self._wait_for_fetch(due, news)
        await report("ranking what is new", 0.2)
        analysis = self._analyst.begin(profile)
        ranking, keys = await self._rank(news, profile, settings, analysis.reorder)
        chosen = [*ranking.papers, *ranking.news]
        await report(f"analysing {len(chosen)} articles", 0.4)
        analysed = await analysis.analyse(chosen)
        status = _status(news)
        digest = Digest(
            source_date=due.local_day,
            profile=profile,
            introduction=introduction_since(news.last_digest.date() if news.last_digest else None, ranking, status),
            papers=analysed.items[: len(ranking.papers)],
            news=analysed.items[len(ranking.papers) :],
            considered=ranking.considered,
            edition_status=status,
            source_errors={source.source: _unread_days(source) for source in news.missing},
            usage=analysed.usage,
            keys=keys,
        )
        return digest, await self._renderer.render(digest)

    async def _wait_for_fetch(self, due: ScheduledDigest, news: NewItems) -> None:
        """Raise `FetchRunning` if the digest must wait for a fetch."""
        left = news.remaining_wait(due.waited, self._max_wait)
        if left > timedelta(0):
            fetch = await self._tasks.ensure_fetch(due.source_date, waiting=due.task_id)
            if not fetch.status.is_final:
                raise FetchRunning(_waiting_for(fetch, due.source_date), fetch.task_id, left)
        running = news.fetch_to_wait_for(due.waited)
        if running is not None:
            left = LONGEST_WAIT_FOR_FETCH - due.waited
            raise FetchRunning("waiting for a fetch of these days", running, left)

    async def _rank(
        self, news: NewItems, profile: Profile, settings: RankingSettings, reorder: Reorder | None
    ) -> tuple[Ranking, tuple[str, ...]]:
        """Rank the items that the reader has not seen. Returns the ranking and all keys of the selected items."""
        if not news.days:
            return _NOTHING, ()
        arrivals = await self._index_cache.arrivals(news.days)
        seen = arrivals.known(news.shown)
        ranking = await rank(arrivals.index, profile, settings, news.papers, reorder, shown=seen)
        return ranking, arrivals.keys(ranked.article for ranked in (*ranking.papers, *ranking.news))


def _waiting_for(fetch: Task, source_date: date) -> str:
    error = f": {fetch.error}" if fetch.error else ""
    return f"waiting for the first source of {source_date}{error}"


def _status(news: NewItems) -> EditionStatus:
    if news.unread:
        return EditionStatus.FAILED
    return EditionStatus.PARTIAL if news.missing else EditionStatus.COMPLETED


def _unread_days(missing: MissingSource) -> str:
    """Return the text for readers. The cause is for operators and is stored in the edition."""
    days = ", ".join(f"{day.day} {day:%B}" for day in missing.days)
    return f"could not be read for {days}"
