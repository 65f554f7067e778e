"""Writes scheduled digests: items that are new to the reader, whatever their date."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Protocol
from uuid import UUID

from app.digest.analysis import Analyst
from app.digest.introduction import introduction_since
from app.digest.writing import DigestWriter, Material
from app.models.articles import EditionStatus
from app.models.digests import Digest
from app.models.profiles import Profile
from app.models.tasks import Task
from app.models.values import ReportProgress
from app.persistence.items import LONGEST_WAIT_FOR_FETCH, Items, MissingSource, NewItems
from app.persistence.tasks import TaskStateManager
from app.ranking.index_cache import ItemIndexCache
from app.ranking.ranking import RankingSettings


class FetchRunning(Exception):
    """The fetch `fetch_id` is still running. The digest waits for it for at most `max_wait`."""

    def __init__(self, reason: str, fetch_id: UUID, max_wait: timedelta) -> None:
        super().__init__(reason)
        self.fetch_id = fetch_id
        self.max_wait = max_wait


class NoSourceRead(Exception):
    """No source has been read for the digest's day, and this run of the program waits no longer."""


class SourceWaits(Protocol):
    """How much longer a digest waits for sources, `waited` after its first attempt."""

    writes_unread: bool
    """Whether a digest is written although no source was read for its day, when the wait is over."""

    def for_any_source(self, waited: timedelta) -> timedelta:
        """Return how much longer it waits while no source has been read for its day."""

    def for_running_fetch(self, waited: timedelta) -> timedelta:
        """Return how much longer it waits for a fetch that runs."""


class PermanentWaits:
    """The waits of workers that run permanently: up to `longest` for any source, ten minutes for a running fetch."""

    writes_unread = True

    def __init__(self, longest: timedelta = timedelta(hours=6)) -> None:
        self._longest = longest

    def for_any_source(self, waited: timedelta) -> timedelta:
        """Return how much longer it waits while no source has been read for its day."""
        return self._longest - waited

    def for_running_fetch(self, waited: timedelta) -> timedelta:
        """Return how much longer it waits for a fetch that runs."""
        return LONGEST_WAIT_FOR_FETCH - waited


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
        waits: SourceWaits | None = None,
    ) -> None:
        self._items = items
        self._tasks = tasks
        self._waits = waits or PermanentWaits()
        self._index_cache = ItemIndexCache(items)
        self._writer = DigestWriter(analyst)

    async def write(
        self, due: ScheduledDigest, profile: Profile, settings: RankingSettings, report: ReportProgress
    ) -> Digest:
        """Write the digest of one of the reader's days, which may be empty.

        Raises `SupabaseError`, and `FetchRunning` while it waits for sources, as `SourceWaits` defines: while no source
        was read for the day, at most for the rest of the reader's day. Raises `NoSourceRead` if that wait is over
        before the reader's day, unless the digest `writes_unread`.
        """
        news = await self._items.new_items_for(due.reader_id, due.source_date, due.local_day)
        await self._wait_for_fetch(due, news)
        arrivals = await self._index_cache.arrivals(news.days)
        last, status = news.last_digest.date() if news.last_digest else None, _status(news)
        material = Material(
            source_date=due.local_day,
            index=arrivals.index,
            status=status,
            source_errors={source.source: _unread_days(source) for source in news.missing},
            introduce=partial(introduction_since, last, status=status),
            papers=news.papers,
            shown=arrivals.known(news.shown),
            keys_of=arrivals.keys,
        )
        return await self._writer.write(material, profile, settings, report)

    async def _wait_for_fetch(self, due: ScheduledDigest, news: NewItems) -> None:
        """Raise `FetchRunning` if the digest must wait for a fetch, `NoSourceRead` if it must not be written."""
        if news.unread and news.day_left > timedelta(0):
            await self._wait_for_any_source(due, min(self._waits.for_any_source(due.waited), news.day_left))
            if not (news.any_read or self._waits.writes_unread):
                raise NoSourceRead(f"no source could be read for {due.source_date}")
        left = self._waits.for_running_fetch(due.waited)
        if news.fetching is not None and left > timedelta(0):
            raise FetchRunning("waiting for a fetch of these days", news.fetching, left)

    async def _wait_for_any_source(self, due: ScheduledDigest, left: timedelta) -> None:
        if left > timedelta(0):
            fetch = await self._tasks.ensure_fetch(due.source_date, waiting=due.task_id)
            if not fetch.status.is_final:
                raise FetchRunning(_waiting_for(fetch, due.source_date), fetch.task_id, left)


def _waiting_for(fetch: Task, source_date: date) -> str:
    error = f": {fetch.error}" if fetch.error else ""
    return f"waiting for the first source of {source_date}{error}"


def _status(news: NewItems) -> EditionStatus:
    if news.unread:
        return EditionStatus.PARTIAL if news.any_read else EditionStatus.FAILED
    return EditionStatus.PARTIAL if news.missing else EditionStatus.COMPLETED


def _unread_days(missing: MissingSource) -> str:
    """Return the text for readers. The cause is for operators and is stored in the edition."""
    days = ", ".join(f"{day.day} {day:%B}" for day in missing.days)
    return f"could not be read for {days}"
