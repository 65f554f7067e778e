"""A day is complete if it was fetched after the announcement that covers it; before, it is fetched again."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import SourceBusy, SourceError, SourceUnavailable
from app.fetch_service import FetchPostponed, FetchService
from app.models.articles import Article, EditionStatus
from app.models.tasks import TaskKind, TaskStatus
from app.persistence.circuit_breaker import CircuitBreakers
from app.persistence.editions import Editions
from app.persistence.outcomes import Completed
from app.persistence.tasks import TaskStateManager
from tests.contract.scripted_sources import GOOD, quiet
from tests.contract.scripted_sources import Scripted as AnySource
from tests.support.schedule import Clock
from tests.support.tasks import Claimer, create

DAY = date(2026, 3, 4)
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
MORNING, WHOLE = NOON + timedelta(hours=18), datetime(2026, 3, 5, 5, tzinfo=UTC)
FIRST, SECOND = UUID(int=1), UUID(int=2)
HOUR = timedelta(hours=1)
"""The sources of these tests are complete from 05:00 of the next day."""


class Scripted(AnySource):
    """A source whose items are named after it."""

    def __init__(self, name: str, outcome: list[Article] | BaseException, *, essential: bool = True) -> None:
        found = outcome
        if isinstance(outcome, list):
            found = [article.model_copy(update={"source": name}) for article in outcome]
        super().__init__(name, found, essential=essential)


class Days:
    """Fetches DAY in a task, at a given time of the schedule's clock."""

    def __init__(self, client: AsyncClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def fetch(
        self, moment: datetime, sources: Sequence[AnySource], task: UUID = FIRST, patience: timedelta = timedelta(0)
    ) -> EditionStatus:
        await self._clock.set(moment)
        breakers = CircuitBreakers(self._client)
        service = FetchService(Editions(self._client), breakers, sources, now=lambda: moment)
        return (await service.fetch(DAY, task, quiet, patience)).status

    async def complete(self) -> bool:
        return (await Editions(self._client).get_edition(DAY)).complete


@pytest.fixture
async def days(client: AsyncClient, clock: Clock) -> Days:
    return Days(client, clock)


async def test_a_day_fetched_too_early_is_not_complete(days: Days) -> None:
    arxiv, feed = Scripted("arxiv", [GOOD]), Scripted("feed:x", [])
    assert await days.fetch(NOON, [arxiv, feed]) is EditionStatus.COMPLETED
    assert not await days.complete()
    await days.fetch(WHOLE - timedelta(seconds=1), [arxiv, feed], SECOND)
    assert not await days.complete()
    await days.fetch(WHOLE, [arxiv, feed], UUID(int=3))
    assert await days.complete(), "one second later, although the hour is not over"
    assert (arxiv.reads, feed.reads) == (3, 3)


async def test_a_day_is_complete_when_every_source_is_complete(days: Days) -> None:
    arxiv, feed = Scripted("arxiv", SourceError("broken")), Scripted("feed:x", [GOOD])
    assert await days.fetch(MORNING, [arxiv, feed]) is EditionStatus.PARTIAL
    assert not await days.complete()
    arxiv.outcome = []
    assert await days.fetch(MORNING + HOUR, [arxiv, feed], SECOND) is EditionStatus.COMPLETED
    assert await days.complete()


async def test_a_complete_day_stays_complete_when_a_source_fails(days: Days, client: AsyncClient) -> None:
    arxiv = Scripted("arxiv", [GOOD])
    await days.fetch(MORNING, [arxiv])
    arxiv.outcome = SourceError("broken")
    with pytest.raises(SourceError):
        await days.fetch(MORNING + 2 * HOUR, [arxiv], SECOND)
    edition = await Editions(client).get_edition(DAY)
    assert (edition.status, edition.complete, edition.errors) == (EditionStatus.COMPLETED, True, {})


async def test_an_early_edition_stays_early_when_all_sources_fail(days: Days, client: AsyncClient) -> None:
    arxiv = Scripted("arxiv", [GOOD])
    await days.fetch(NOON, [arxiv])
    arxiv.outcome = SourceError("broken")
    with pytest.raises(SourceError):
        await days.fetch(MORNING, [arxiv], SECOND)
    edition = await Editions(client).get_edition(DAY)
    assert (edition.status, list(edition.errors)) == (EditionStatus.PARTIAL, ["arxiv"])


async def test_a_postponed_fetch_reads_no_source_twice(days: Days) -> None:
    busy = SourceBusy("HTTP 429 from export.arxiv.org", retry_after=60.0)
    arxiv, news = Scripted("arxiv", busy), Scripted("newsapi", [GOOD], essential=False)
    for minute in range(60):
        with pytest.raises(FetchPostponed):
            await days.fetch(MORNING + timedelta(minutes=minute), [arxiv, news], patience=HOUR)
    assert (arxiv.reads, news.reads) == (60, 1)
    arxiv.outcome = []
    assert await days.fetch(MORNING + 5 * HOUR, [arxiv, news]) is EditionStatus.COMPLETED
    assert (arxiv.reads, news.reads, await days.complete()) == (61, 1, True)


async def test_a_later_fetch_reads_all_sources_again(days: Days) -> None:
    arxiv = Scripted("arxiv", [GOOD])
    await days.fetch(MORNING, [arxiv])
    await days.fetch(MORNING + timedelta(minutes=59), [arxiv], SECOND)
    assert arxiv.reads == 1, "read within the hour"
    await days.fetch(MORNING + timedelta(minutes=61), [arxiv], SECOND)
    assert arxiv.reads == 2


async def test_a_day_without_any_read_is_not_an_edition(days: Days, client: AsyncClient) -> None:
    away = SourceUnavailable("export.arxiv.org could not be read: refused")
    with pytest.raises(
        FetchPostponed,
        match=r"^arxiv: export\.arxiv\.org could not be read: refused at 06:00 UTC, will be retried in 15 s",
    ):
        await days.fetch(MORNING, [Scripted("arxiv", away), Scripted("feed:x", away)])
    edition = await Editions(client).get_edition(DAY)
    message = "export.arxiv.org could not be read: refused at 06:00 UTC, will be retried in 15 s"
    assert (edition.status, edition.complete) == (EditionStatus.FETCHING, False)
    assert edition.errors == {"arxiv": message, "feed:x": message}


async def test_the_reported_retry_time_is_that_of_the_fetch(client: AsyncClient) -> None:
    away = Scripted("arxiv", SourceUnavailable("refused"))
    service = FetchService(Editions(client), CircuitBreakers(client), [away], now=lambda: MORNING)
    with pytest.raises(FetchPostponed, match="refused at 06:00 UTC, will be retried in 600 s") as postponed:
        await service.fetch(DAY, FIRST, quiet, HOUR, pause=timedelta(minutes=10))
    assert postponed.value.delay == timedelta(minutes=10)


async def test_an_unreachable_feed_does_not_delay_an_edition(days: Days) -> None:
    away = Scripted("feed:x", SourceUnavailable("refused"), essential=False)
    assert await days.fetch(MORNING, [Scripted("arxiv", [GOOD]), away], patience=HOUR) is EditionStatus.PARTIAL


async def test_sources_that_recover_get_one_more_try(days: Days) -> None:
    away = SourceUnavailable("refused")
    arxiv, one, two = (Scripted(name, away, essential=name == "arxiv") for name in ("arxiv", "feed:one", "feed:two"))
    with pytest.raises(FetchPostponed):
        await days.fetch(MORNING, [arxiv, one, two])
    arxiv.outcome = []
    with pytest.raises(FetchPostponed):
        await days.fetch(MORNING, [arxiv, one, two])
    one.outcome = []
    assert await days.fetch(MORNING, [arxiv, one, two]) is EditionStatus.PARTIAL
    assert (arxiv.reads, one.reads, two.reads) == (2, 3, 3)


async def test_an_open_breaker_keeps_the_first_cause(days: Days, database: asyncpg.Connection) -> None:
    away = Scripted("arxiv", SourceUnavailable("HTTP 503 from export.arxiv.org"))
    for _ in range(5):
        with pytest.raises(FetchPostponed):
            await days.fetch(MORNING, [away])
    with pytest.raises(FetchPostponed) as postponed:
        await days.fetch(MORNING, [away])
    failed_at = await database.fetchval("select to_char(failed_at at time zone 'UTC', 'HH24:MI') from circuit_breakers")
    cause = f"arxiv: HTTP 503 from export.arxiv.org at {failed_at} UTC, will be retried in "
    assert str(postponed.value).startswith(cause)
    assert 50 < postponed.value.delay.total_seconds() <= 60
    assert away.reads == 5


async def ended_fetch(client: AsyncClient) -> None:
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    await worker.finish(await worker.claim_one(), Completed({}))


async def test_a_day_is_fetched_again_once_an_hour_until_complete(
    days: Days, client: AsyncClient, clock: Clock
) -> None:
    tasks, arxiv = TaskStateManager(client), Scripted("arxiv", [GOOD])

    async def requested(moment: datetime) -> bool:
        """Whether a digest that is posted at that time enqueues a fetch, which is then executed."""
        await clock.set(moment)
        digest = await create(client, kind=TaskKind.DIGEST, source_date=DAY)
        fetch = await tasks.refresh_fetch(DAY, waiting=digest.task_id)
        if fetch is None:
            return False
        assert fetch.status is TaskStatus.PENDING
        await days.fetch(moment, [arxiv], fetch.task_id)
        await ended_fetch(client)
        return True

    await days.fetch(NOON, [arxiv])
    minute = timedelta(minutes=1)
    assert [await requested(NOON + n * minute) for n in (1, 59, 61, 62)] == [False, False, True, False]
    assert await requested(WHOLE - minute)
    assert await requested(WHOLE + minute), "a reading is complete from now on"
    assert [await requested(WHOLE + n * HOUR) for n in (1, 2, 300)] == [False, False, False]
