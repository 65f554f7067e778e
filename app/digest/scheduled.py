"""Writes the digest that a reader's schedule asks for: of what is new to that reader, whenever it is dated."""

from datetime import date, timedelta
from uuid import UUID

from app.digest.analysis import Analyst
from app.digest.introduction import introduction_since
from app.digest.rendering import DigestRenderer
from app.models import Digest, EditionStatus, Profile, Report
from app.persistence.items import Items, MissingSource, News
from app.ranking.ranking import Ranking, RankingSettings, Reorder, rank
from app.ranking.shelf import ItemShelf

_NOTHING = Ranking((), (), considered=0, duplicates=0)


class FetchRunning(Exception):
    """There may be more in a moment: the fetch `fetch_id` runs."""

    def __init__(self, fetch_id: UUID) -> None:
        super().__init__("waiting for a fetch of these days")
        self.fetch_id = fetch_id


class ScheduledDigests:
    """Writes digests of what came since a reader's last one, from whatever sources could be read."""

    def __init__(self, items: Items, analyst: Analyst, renderer: DigestRenderer) -> None:
        self._items = items
        self._shelf = ItemShelf(items)
        self._analyst = analyst
        self._renderer = renderer

    async def write(
        self,
        reader_id: UUID,
        local_day: date,
        waited: timedelta,
        profile: Profile,
        settings: RankingSettings,
        report: Report,
    ) -> tuple[Digest, str]:
        """Write the digest of one of the reader's days, begun so long ago; it may hold nothing.

        Returns it with its page. Raises `FetchRunning` for at most ten minutes, and `SupabaseError`.
        """
        news = await self._items.news_for(reader_id)
        fetch_id = news.worth_waiting_for(waited)
        if fetch_id is not None:
            raise FetchRunning(fetch_id)
        await report("ranking what is new", 0.2)
        analysis = self._analyst.begin(profile)
        ranking, keys = await self._rank(news, profile, settings, analysis.reorder)
        chosen = [*ranking.papers, *ranking.news]
        await report(f"analysing {len(chosen)} articles", 0.4)
        analysed = await analysis.analyse(chosen)
        digest = Digest(
            source_date=local_day,
            profile=profile,
            introduction=introduction_since(news.last_digest.date() if news.last_digest else None, ranking),
            papers=analysed.items[: len(ranking.papers)],
            news=analysed.items[len(ranking.papers) :],
            considered=ranking.considered,
            edition_status=EditionStatus.PARTIAL if news.missing else EditionStatus.COMPLETED,
            source_errors={source.source: _why(source) for source in news.missing},
            usage=analysed.usage,
            keys=keys,
        )
        return digest, await self._renderer.render(digest)

    async def _rank(
        self, news: News, profile: Profile, settings: RankingSettings, reorder: Reorder | None
    ) -> tuple[Ranking, tuple[str, ...]]:
        """Choose among what the reader was not shown; returns the choice and all names of what was chosen."""
        if not news.days:
            return _NOTHING, ()
        arrivals = await self._shelf.arrivals(news.days)
        known = arrivals.known(news.shown)
        ranking = await rank(arrivals.index, profile, settings, news.papers, reorder, shown=known)
        return ranking, arrivals.keys(ranked.article for ranked in (*ranking.papers, *ranking.news))


def _why(missing: MissingSource) -> str:
    days = ", ".join(f"{day.day} {day:%B}" for day in missing.days)
    return f"{missing.reason} ({days})"
