"""Retention counts from the time of storage; retention and fetches do not block each other."""

import asyncio
from datetime import date, timedelta

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import EditionNotFound
from app.models.articles import Article, ArticleKind, EditionStatus
from app.models.tasks import TaskKind
from app.persistence.cache import HybridCache
from app.persistence.editions import Editions
from app.persistence.maintenance import Maintenance, Removed
from tests.contract.deadlocks import deadlocks
from tests.support.tasks import DAY, Claimer, insert_tasks, somebody_waits

ARTICLES = [Article(source="arxiv", external_id=str(n), kind=ArticleKind.PAPER, title=f"T{n}") for n in range(40)]
DAYS = [DAY + timedelta(days=n) for n in range(12)]
LONG_AGO = date(2020, 1, 1)


async def fetch(client: AsyncClient, day: date, articles: list[Article] = ARTICLES) -> None:
    """The rows of a fetch."""
    daily = Editions(client)
    await daily.begin_edition(day)
    for start in range(0, len(articles), 10):
        await daily.save_articles(day, articles[start : start + 10])
    await daily.finish_edition(day, EditionStatus.COMPLETED, {})


async def grow_old(database: asyncpg.Connection) -> None:
    """Make all stored rows 100 days older."""
    await database.execute("update public.editions set updated_at = updated_at - interval '100 days'")
    await database.execute(
        "update public.tasks"
        " set created_at = created_at - interval '100 days', finished_at = finished_at - interval '100 days'"
    )
    await database.execute("update public.workers set seen_at = seen_at - interval '100 days'")
    await database.execute("update public.cache_entries set expires_at = expires_at - interval '100 days'")


async def retain(client: AsyncClient, batch: int = 500) -> list[Removed]:
    """Remove batches until one is not full, as the periodic job does."""
    maintenance = Maintenance(client, batch=batch)
    removed: list[Removed] = []
    while not removed or removed[-1].largest >= batch:
        removed.append(await maintenance.retain(task_days=30, edition_days=30))
    return removed


async def days_left(client: AsyncClient) -> list[date]:
    return [edition.source_date for edition in await Editions(client).list_editions(limit=100)]


async def test_a_recently_fetched_edition_of_an_old_day_is_kept(client: AsyncClient) -> None:
    await fetch(client, LONG_AGO)
    assert await retain(client) == [Removed(0, 0, 0, 0, 0, 0, 0, 0)]
    assert len(await Editions(client).get_articles(LONG_AGO)) == len(ARTICLES)


async def test_an_old_edition_is_kept_once_its_next_fetch_begins(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await fetch(client, DAY)
    await grow_old(database)
    await Editions(client).begin_edition(DAY)
    await retain(client)
    assert await days_left(client) == [DAY]


async def test_tasks_are_removed_by_the_time_of_their_end(client: AsyncClient, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 2, status="completed")
    await grow_old(database)
    await database.execute(
        "update public.tasks set finished_at = now() where task_id = (select task_id from public.tasks limit 1)"
    )
    assert sum(removed.tasks for removed in await retain(client)) == 1
    assert await database.fetchval("select count(*) from public.tasks") == 1


async def test_editions_stored_long_ago_are_removed_completely(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    for day in DAYS:
        await fetch(client, day)
    await grow_old(database)
    await fetch(client, DAYS[3])  # once more
    removed = await retain(client, batch=50)
    assert await days_left(client) == [DAYS[3]]
    assert len(await Editions(client).get_articles(DAYS[3])) == len(ARTICLES)
    assert sum(batch.editions for batch in removed) == len(DAYS) - 1
    assert sum(batch.articles for batch in removed) == (len(DAYS) - 1) * len(ARTICLES)
    assert max(batch.articles for batch in removed) < 50 + len(ARTICLES), "a batch has a limit"


async def test_ended_tasks_of_each_kind_are_removed(client: AsyncClient, database: asyncpg.Connection) -> None:
    for kind in TaskKind:
        await insert_tasks(database, 2, kind=kind, status="completed")
        await insert_tasks(database, 1, kind=kind)
    await grow_old(database)
    await retain(client)
    left = await database.fetch("select kind, count(*) as tasks from public.tasks group by kind")
    assert {row["kind"]: row["tasks"] for row in left} == dict.fromkeys(TaskKind, 1), "only those that wait"


async def test_concurrent_retentions_and_fetches_do_not_deadlock(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    before = await deadlocks(database)
    for _ in range(4):
        for day in DAYS:
            await fetch(client, day)
        await insert_tasks(database, 300, status="completed")
        await grow_old(database)
        again = [fetch(client, day, ARTICLES[::-1]) for day in DAYS[::2]]
        await asyncio.gather(*(retain(client, batch=20) for _ in range(8)), *again)
        assert set(DAYS[::2]) <= set(await days_left(client))
        for day in DAYS[::2]:
            assert len(await Editions(client).get_articles(day)) == len(ARTICLES)
        await retain(client)
        assert await days_left(client) == DAYS[::2][::-1]
        assert await database.fetchval("select count(*) from public.tasks") == 0
    assert await deadlocks(database) == before


async def test_a_fetch_waits_for_retention_and_recreates_its_day(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await fetch(client, DAY)
    await grow_old(database)
    async with database.transaction():
        # Like retain(): it locks the edition and removes it a moment later.
        await database.execute("select from public.editions for update")
        fetching = asyncio.create_task(fetch(client, DAY, ARTICLES[:3]))
        await somebody_waits(database)
        await database.execute("select public.apply_retention(30, 30, 500)")
    await fetching
    assert [article.title for article in await Editions(client).get_articles(DAY)] == ["T0", "T1", "T2"]


async def test_retention_skips_days_that_a_fetch_has_locked(client: AsyncClient, database: asyncpg.Connection) -> None:
    await fetch(client, DAY)
    await grow_old(database)
    async with database.transaction():
        await database.execute("select public.begin_edition($1)", DAY)
        assert (await retain(client))[0].editions == 0
    assert await retain(client) == [Removed(0, 0, 0, 0, 0, 0, 0, 0)]
    try:
        assert (await Editions(client).get_edition(DAY)).status is EditionStatus.COMPLETED
    except EditionNotFound:
        raise AssertionError("it was removed during its fetch") from None


@pytest.mark.parametrize("gone", [True, False], ids=["a worker that is gone", "a call of long ago"])
async def test_a_call_is_kept_while_its_worker_may_repeat_it(
    gone: bool, client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 1)
    worker = Claimer(client)
    call = worker.queue.prepare(outcomes={}, slots=1)
    answer = await worker.queue.sync(call)
    await database.execute(
        "delete from public.workers"
        if gone
        else "update public.worker_calls set responded_at = responded_at - interval '9 days'"
    )
    await retain(client)
    assert await worker.queue.sync(call) == answer


async def test_unexpired_entries_stay_in_the_cache(client: AsyncClient) -> None:
    await HybridCache(client).put("k", [1])
    await retain(client)
    assert await HybridCache(client).get("k") == [1]
