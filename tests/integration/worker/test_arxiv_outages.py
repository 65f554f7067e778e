"""arXiv's API and other paths are unavailable for days: which editions are complete, and what the others say."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
from supabase import AsyncClient

from app.config.fetch_times import AFTER_ARXIV
from app.external.client import open_external
from app.fetch_service import FetchService
from app.models.articles import ArticleKind, EditionStatus
from app.models.tasks import TaskKind
from app.persistence.rate_limits import DistributedRateLimiter
from app.services import Services
from app.sources.arxiv import ArxivSettings, ArxivSource
from app.sources.feeds import FeedSettings, FeedSource
from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.rate_limiter import RateLimiter
from app.sources.source import Source
from tests.support.arxiv_papers import EASTERN, Paper
from tests.support.fake_arxiv import FakeArxiv, busy
from tests.support.fixture_types import Serve
from tests.support.running_worker import PATIENCE, StartWorker, until
from tests.support.schedule import Clock
from tests.support.source_responses import reply
from worker.handlers.fetch import FetchHandler
from worker.periodic.daily_fetch import DailyFetch

CATEGORIES = ("cs.AI", "math")
FIRST = date(2026, 1, 5)
"""A Monday."""

WEEK = [FIRST + timedelta(days=n) for n in range(7)]
IDLE = "select not exists (select from public.queue)"


class Enqueued(Exception):
    """The periodic job has done its work and waits for its next time."""


async def until_enqueued(_seconds: float) -> None:
    raise Enqueued


def papers_of(day: date) -> list[Paper]:
    """Papers of a day (UTC): around the deadline at 14:00 Eastern (19:00 UTC), and at both ends of the day."""
    times = ["00:00:00", "04:30:00", "18:59:59", "19:00:00", "23:59:59"]
    number = 100 * (day - FIRST).days + 100
    moments = [datetime.fromisoformat(f"{day} {time}").replace(tzinfo=UTC) for time in times]
    kinds = (("cs.AI",), ("math.CO", "cs.AI"), ("hep-th", "math.MP"), ("cs.AI",), ("math.CO",))
    return [
        Paper(f"2601.{number + n + 1:05d}", moment, kinds[n], moment + timedelta(days=2) if n == 1 else None)
        for n, moment in enumerate(moments)
    ]


PAPERS = [paper for days in range(-1, 8) for paper in papers_of(FIRST + timedelta(days=days))]
UNWANTED = Paper("2601.09999", datetime(2026, 1, 6, 12, tzinfo=UTC), ("q-bio.NC",))


@asynccontextmanager
async def fetching(
    client: AsyncClient, fake: FakeArxiv, start_worker: StartWorker, feeds: Sequence[str] = ()
) -> AsyncIterator[Services]:
    """A worker that runs fetch tasks with the real sources, whose hosts are the fake's."""
    services = Services.build(client)
    async with open_external() as http:
        fetcher = HttpFetcher(http, FetchSettings("Broadsheet tests"))
        settings = ArxivSettings(fake.url, fake.url, fake.url, CATEGORIES, page_attempts=1)
        limiter = RateLimiter(0.01, permits=DistributedRateLimiter(client))
        sources: list[Source] = [ArxivSource(fetcher, settings, limiter, now=lambda: fake.now)]
        sources += [FeedSource(fetcher, FeedSettings("news", url, ArticleKind.NEWS)) for url in feeds]
        service = FetchService(services.editions, services.breakers, sources, now=lambda: fake.now)
        await start_worker({TaskKind.FETCH: FetchHandler(service, services.tasks)})
        yield services


async def daily_fetch(services: Services, moment: datetime) -> None:
    """Let the periodic job enqueue the fetches that are due at this moment."""
    try:
        await DailyFetch(services.tasks, AFTER_ARXIV, now=lambda: moment, sleep=until_enqueued).run()
    except Enqueued:
        return


async def stored(database: asyncpg.Connection, day: date) -> set[str]:
    rows = await database.fetch("select external_id from public.articles where source_date = $1", day)
    return {row["external_id"] for row in rows}


async def test_a_week_without_the_api_has_complete_editions(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, start_worker: StartWorker
) -> None:
    fake = FakeArxiv([*PAPERS, UNWANTED], datetime(2026, 1, 6, tzinfo=UTC))
    fake.failures["api"] = busy()
    async with fake.serve(), fetching(client, fake, start_worker) as services:
        for days in range(8):
            fake.now = datetime(2026, 1, 6, 0, 30, tzinfo=EASTERN) + timedelta(days=days)
            await clock.set(fake.now)
            await daily_fetch(services, fake.now.astimezone(UTC))
            await until(database, IDLE)
        editions = [await services.editions.get_edition(day) for day in WEEK]
    assert [(each.status, each.complete, each.errors) for each in editions] == [(EditionStatus.COMPLETED, True, {})] * 7
    for day in WEEK:
        submitted = {paper.identifier for paper in PAPERS if paper.submitted.date() == day}
        assert submitted <= await stored(database, day)
    papers = await database.fetch(
        "select external_id, count(distinct item_id) as items, count(distinct source_date) as days"
        " from public.articles group by 1"
    )
    wanted = {paper.identifier for paper in PAPERS if paper.submitted.date() in WEEK}
    assert wanted <= {row["external_id"] for row in papers}
    assert UNWANTED.identifier not in {row["external_id"] for row in papers}
    assert {row["items"] for row in papers} == {1}
    assert await database.fetchval("select count(*) from public.items") == len(papers), "each paper is one item"
    assert await database.fetchval("select count(*) from public.tasks where status <> 'completed' or attempt <> 1") == 0
    assert fake.broken_rules == []
    assert {"listing", "oai"} <= set(fake.paths)


async def wait_is_over(database: asyncpg.Connection, task_id: UUID, condition: str) -> None:
    """Repeat a snoozed fetch as if it had waited for an hour, until a condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not await database.fetchval(condition):
            await database.execute(
                "update public.queue set started_at = now() - interval '61 minutes', run_at = now()"
                " where task_id = $1 and worker_id is null and snoozed_since is not null",
                task_id,
            )
            await asyncio.sleep(0.05)


async def test_an_edition_without_arxiv_is_partial_and_says_so(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, start_worker: StartWorker, serve: Serve
) -> None:
    day, news = WEEK[1], await serve(reply(b"<rss><channel/></rss>"))
    fake = FakeArxiv(PAPERS, datetime(2026, 1, 8, 0, 30, tzinfo=EASTERN))
    fake.failures |= {"api": busy(1), "oai": busy(1, status=503), "listing": busy(1)}
    await clock.set(fake.now)
    async with fake.serve(), fetching(client, fake, start_worker, [news.url]) as services:
        task = await services.tasks.ensure_fetch(day)
        await wait_is_over(database, task.task_id, IDLE)
        partial = await services.editions.get_edition(day)
        assert partial.status is EditionStatus.PARTIAL
        assert set(partial.errors) == {"arxiv"}
        assert all(word in partial.errors["arxiv"] for word in ("HTTP 429", "HTTP 503"))
        fake.failures.clear()
        await clock.advance(timedelta(hours=1))
        again = await services.tasks.ensure_fetch(day, refetch=True)
        await until(database, IDLE)
        whole = await services.editions.get_edition(day)
    assert again.task_id != task.task_id
    assert (whole.status, whole.complete, whole.errors) == (EditionStatus.COMPLETED, True, {})
    assert await stored(database, day) >= {paper.identifier for paper in PAPERS if paper.submitted.date() == day}
    assert await database.fetchval("select max(attempt) from public.tasks") == 1
