"""Writes the digest that a reader's schedule asks for: of what is new to that reader, whenever it is dated."""

from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from app.digest.analysis import Analyst
from app.digest.introduction import introduction_since
from app.digest.rendering import DigestRenderer
from app.models import Digest, EditionStatus, Profile, Report, Task
from app.persistence.items import LONGEST_WAIT_FOR_FETCH, Items, MissingSource, NewItems
from app.persistence.tasks import TaskStateManager
from app.ranking.ranking import Ranking, RankingSettings, Reorder, rank
from app.ranking.shelf import ItemIndexCache

_NOTHING = Ranking((), (), considered=0, duplicates=0)


class FetchRunning(Exception):
    """There may be more later: the fetch `fetch_id` has not ended, which is worth waiting for as long as `left`."""

    def __init__(self, reason: str, fetch_id: UUID, left: timedelta) -> None:
        super().__init__(reason)
        self.fetch_id = fetch_id
        self.left = left


@dataclass(frozen=True, slots=True)
class Occasion:
    """Whose digest it is, for which of the reader's days; its task, begun so long ago; and the newest day in it."""

    task_id: UUID
    reader_id: UUID
    local_day: date
    source_date: date
    waited: timedelta


class ScheduledDigests:
    """Writes digests of what came since a reader's last one, from whatever sources could be read."""

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
        self._shelf = ItemIndexCache(items)
        self._analyst = analyst
        self._renderer = renderer

    async def write(
        self, occasion: Occasion, profile: Profile, settings: RankingSettings, report: Report
    ) -> tuple[Digest, str]:
        """Write the digest of one of the reader's days; it may hold nothing.

        Returns it with its page. Raises `FetchRunning` for at most ten minutes, or for at most `max_wait` and the rest
        of the reader's day while no source could be read for the digest's day; and `SupabaseError`.
        """
        news = await self._items.new_items_for(occasion.reader_id, occasion.source_date, occasion.local_day)
        await self._wait_for_news(occasion, news)
        await report("ranking what is new", 0.2)
        analysis = self._analyst.begin(profile)
        ranking, keys = await self._rank(news, profile, settings, analysis.reorder)
        chosen = [*ranking.papers, *ranking.news]
        await report(f"analysing {len(chosen)} articles", 0.4)
        analysed = await analysis.analyse(chosen)
        status = _status(news)
        digest = Digest(
            source_date=occasion.local_day,
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

    async def _wait_for_news(self, occasion: Occasion, news: NewItems) -> None:
        """Raise `FetchRunning` if the digest is to wait for a fetch."""
        left = news.remaining_wait(occasion.waited, self._max_wait)
        if left > timedelta(0):
            fetch = await self._tasks.ensure_fetch(occasion.source_date, waiting=occasion.task_id)
            if not fetch.status.is_final:
                raise FetchRunning(_waiting_for(fetch, occasion.source_date), fetch.task_id, left)
        running = news.fetch_to_wait_for(occasion.waited)
        if running is not None:
            left = LONGEST_WAIT_FOR_FETCH - occasion.waited
            raise FetchRunning("waiting for a fetch of these days", running, left)

    async def _rank(
        self, news: NewItems, profile: Profile, settings: RankingSettings, reorder: Reorder | None
    ) -> tuple[Ranking, tuple[str, ...]]:
        """Choose among what the reader was not shown; returns the choice and all names of what was chosen."""
        if not news.days:
            return _NOTHING, ()
        arrivals = await self._shelf.arrivals(news.days)
        known = arrivals.known(news.shown)
        ranking = await rank(arrivals.index, profile, settings, news.papers, reorder, shown=known)
        return ranking, arrivals.keys(ranked.article for ranked in (*ranking.papers, *ranking.news))


def _waiting_for(fetch: Task, source_date: date) -> str:
    known = f": {fetch.error}" if fetch.error else ""
    return f"waiting for the first source to be read for {source_date}{known}"


def _status(news: NewItems) -> EditionStatus:
    if news.unread:
        return EditionStatus.FAILED
    return EditionStatus.PARTIAL if news.missing else EditionStatus.COMPLETED


def _unread_days(missing: MissingSource) -> str:
    """What readers are told: the cause is for operators, and stands in the edition."""
    days = ", ".join(f"{day.day} {day:%B}" for day in missing.days)
    return f"could not be read for {days}"
