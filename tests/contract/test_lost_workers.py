"""A worker that ended without releasing its tasks stays visible to operators for a while."""

import asyncpg
from supabase import AsyncClient

from app.conditions.report import observe, report_of
from app.persistence.health import Health
from app.persistence.operator import Operator
from tests.support.tasks import Claimer, create, expire_lease, let_look, row

LATER = "update public.workers set lost_at = lost_at - $1::text::interval, seen_at = seen_at - $1::text::interval"


async def conditions(client: AsyncClient) -> set[str]:
    found = {problem.condition for problem in report_of(await observe(Health(client).facts)).problems}
    return found & {"no_worker", "worker_lost"}


async def pass_time(database: asyncpg.Connection, by: str, heartbeat: Claimer) -> None:
    """Let time pass for the lost worker, and let the other one look."""
    await database.execute(f"{LATER} where lost_at is not null", by)
    await let_look(database)
    await heartbeat.sync()


async def test_a_lost_worker_stays_listed_for_15_minutes(client: AsyncClient, database: asyncpg.Connection) -> None:
    lost, other, task = Claimer(client), Claimer(client), await create(client)
    await other.sync()
    await lost.claim_one()
    await expire_lease(database, task.task_id)
    await other.sync()
    assert (await row(database, task.task_id))["status"] == "pending"
    for by in ("0", "2 minutes", "12 minutes"):
        await pass_time(database, by, other)
        assert [worker.alive for worker in await Operator(client).workers()] == [True, False], by
        assert await conditions(client) == {"worker_lost"}
    await pass_time(database, "2 minutes", other)
    assert len(await Operator(client).workers()) == 1
    assert await conditions(client) == set()


async def test_a_worker_that_returns_is_not_lost(client: AsyncClient, database: asyncpg.Connection) -> None:
    lost, other, task = Claimer(client), Claimer(client), await create(client)
    await other.sync()
    await lost.claim_one()
    await expire_lease(database, task.task_id)
    await other.sync()
    await lost.sync()
    assert await conditions(client) == set()
    assert await database.fetchval("select count(*) from public.workers where lost_at is not null") == 0


async def test_a_worker_without_tasks_is_removed_at_once(client: AsyncClient, database: asyncpg.Connection) -> None:
    idle, other = Claimer(client), Claimer(client)
    await other.sync()
    await idle.sync()
    await let_look(database)
    await database.execute(
        "update public.workers set seen_at = now() - lease * 1.01 where worker_id = $1", idle.worker_id
    )
    await other.sync()
    assert len(await Operator(client).workers()) == 1


async def test_tasks_of_a_lost_worker_are_searched_again(client: AsyncClient, database: asyncpg.Connection) -> None:
    """A call that had locked a task when the others were reclaimed leaves it with the lost worker."""
    lost, other, task = Claimer(client), Claimer(client), await create(client)
    second = await create(client)
    await other.sync()
    assert len(await lost.claim(2)) == 2
    await expire_lease(database, task.task_id)
    async with database.transaction():
        await database.execute("select 1 from public.queue where task_id = $1 for update", second.task_id)
        await other.sync()
    assert (await row(database, second.task_id))["status"] == "running"
    await pass_time(database, "1 second", other)
    assert (await row(database, second.task_id))["status"] == "pending"
