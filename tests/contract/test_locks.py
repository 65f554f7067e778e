"""Which locks a call waits for, which locked rows it skips, and in which order it locks its own."""

import asyncio
import json
import random
from datetime import UTC, datetime, time
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskKind, TaskStatus
from app.persistence.idempotency_keys import fetch_key
from app.persistence.maintenance import Maintenance
from app.persistence.new_task import NewTask
from app.persistence.outcomes import Failed, Outcome, Released, Snoozed
from app.persistence.rate_limits import DistributedRateLimiter
from app.persistence.schedule import Schedule
from app.persistence.tasks import TaskStateManager
from tests.support.schedule import add_reader
from tests.support.tasks import DAY, SOON, Claimer, create, expire_lease, insert_tasks, somebody_waits

BACK = [Failed("busy", SOON), Released(), Snoozed(SOON, "waiting")]


@pytest.mark.parametrize("outcome", BACK, ids=lambda outcome: type(outcome).__name__)
async def test_an_outcome_waits_for_an_uncommitted_cancel_request(
    outcome: Outcome, client: AsyncClient, database: asyncpg.Connection
) -> None:
    task, worker = await create(client), Claimer(client)
    claimed_task = await worker.claim_one()
    async with database.transaction():
        await database.execute("select public.cancel_task($1, null)", task.task_id)
        reporting = asyncio.create_task(worker.finish(claimed_task, outcome))
        await somebody_waits(database)
    assert await reporting == "applied"
    assert (await TaskStateManager(client).get_task(task.task_id)).status is TaskStatus.CANCELLED


async def test_outcomes_lock_their_tasks_in_order_of_their_ids(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 30)
    worker = Claimer(client)
    claimed_task = list(await worker.claim())
    random.Random(5).shuffle(claimed_task)
    first, *others = sorted(task.task_id for task in claimed_task)
    lock = "select from public.queue where task_id = any ($1) for update nowait"
    async with database.transaction():
        await database.execute(lock, [first])
        reporting = asyncio.create_task(worker.sync({task.lease: Released() for task in claimed_task}))
        await somebody_waits(database)
        await database.execute(lock, others)
    assert (await reporting).rejected_outcomes == ()


async def test_a_task_locked_by_another_call_is_reclaimed_later(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 5)
    gone, watcher = Claimer(client), Claimer(client)
    first, *_ = await gone.claim()
    await watcher.sync()
    await expire_lease(database, first.task_id)
    claimed_task = "select count(*) from public.queue where worker_id = $1"
    async with database.transaction():
        await database.execute("select from public.queue where task_id = $1 for update", first.task_id)
        await watcher.sync()
        assert await database.fetchval(claimed_task, gone.worker_id) == 1


async def test_a_claim_skips_tasks_that_another_call_has_locked(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 3)
    first = await database.fetchval("select task_id from public.queue order by run_at, task_id limit 1")
    async with database.transaction():
        await database.execute("select from public.queue where task_id = $1 for update", first)
        claimed = await Claimer(client).claim(2)
    assert len(claimed) == 2
    assert first not in {task.task_id for task in claimed}


async def test_a_repeated_call_waits_and_returns_the_first_response(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 2)
    worker = Claimer(client)
    call = worker.queue.prepare(outcomes={}, slots=1)
    values = {name: json.dumps(value) if value == [] else value for name, value in call.parameters.items()}
    names = ", ".join(f"{name} => ${place}" for place, name in enumerate(values, 1))
    async with database.transaction():
        await database.execute(f"select public.sync_worker({names})", *values.values())
        again = asyncio.create_task(worker.queue.sync(call))
        await somebody_waits(database)
    assert len((await again).claimed) == 1
    assert await database.fetchval("select sum(attempt) from public.queue") == 1


async def test_concurrent_requests_create_one_fetch_of_a_day(client: AsyncClient, database: asyncpg.Connection) -> None:
    task = NewTask(task_id=uuid4(), kind=TaskKind.FETCH, payload={}, source_date=DAY, key=fetch_key(DAY))
    ask = "select public.ensure_fetch($1, $2, null, false)"
    async with database.transaction():
        await database.execute(ask, DAY, json.dumps(task.as_row()))
        due = datetime.combine(DAY, time(6), UTC)
        asking = asyncio.create_task(TaskStateManager(client).ensure_fetch(DAY, due=due))
        await somebody_waits(database)
    assert (await asking).task_id == task.task_id


async def test_a_due_reader_locked_by_another_call_is_skipped(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    first = await add_reader(client, external_id="first")
    await add_reader(client, external_id="second")
    await database.execute("update public.readers set next_due_at = next_due_at - interval '1 day'")
    async with database.transaction():
        await database.execute("select from public.readers where reader_id = $1 for update", first.reader_id)
        assert await Schedule(client).enqueue_due() == 1


async def test_a_call_waits_for_a_permit_that_is_being_granted(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await database.execute("insert into public.rate_limits (name) values ('arxiv')")
    async with database.transaction():
        await database.execute("select from public.rate_limits for update")
        asking = asyncio.create_task(DistributedRateLimiter(client).acquire("arxiv", uuid4(), interval=3, hold=60))
        await somebody_waits(database)
        assert await database.fetchval("select public.acquire_permit('arxiv', gen_random_uuid(), 3, 60)") == 0
    assert await asking > 0


async def test_a_failure_waits_for_one_that_is_being_counted(client: AsyncClient, database: asyncpg.Connection) -> None:
    count = "select public.breaker_failure('arxiv', gen_random_uuid(), 5, 300)"
    await database.execute(count)
    failure = {"p_name": "arxiv", "p_event": str(uuid4()), "p_threshold": 5, "p_open_seconds": 300}
    async with database.transaction():
        await database.execute("select from public.circuit_breakers for update")
        counting = asyncio.create_task(client.rpc("breaker_failure", failure).execute())
        await somebody_waits(database)
        await database.execute(count)
    assert (await counting).data["failures"] == 3


async def test_retention_skips_items_and_tasks_that_others_lock(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 2, status="completed")
    await database.execute("update public.tasks set created_at = now() - interval '9 days'")
    maintenance = Maintenance(client)
    assert (await maintenance.retain(task_days=1, edition_days=1)).tasks == 0, "the end takes precedence"
    await database.execute("update public.tasks set finished_at = now() - interval '9 days'")
    async with database.transaction():
        await database.execute("select public.lock_items(true)")
        await database.execute("select from public.tasks limit 1 for update")
        assert (await maintenance.retain(task_days=1, edition_days=1)).tasks == 1


async def test_retention_skips_a_call_that_its_worker_replaces(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    worker = Claimer(client)
    await worker.sync()
    await database.execute("update public.worker_calls set responded_at = now() - interval '2 days'")
    await database.execute("delete from public.workers where true")
    maintenance = Maintenance(client)
    async with database.transaction():
        await database.execute("select from public.worker_calls for update")
        await maintenance.retain(task_days=1, edition_days=1)
    assert await database.fetchval("select count(*) from public.worker_calls") == 1
    await maintenance.retain(task_days=1, edition_days=1)
    assert await database.fetchval("select count(*) from public.worker_calls") == 0


async def test_a_failure_counts_while_its_breaker_is_removed(client: AsyncClient, database: asyncpg.Connection) -> None:
    await database.execute("select public.breaker_failure('arxiv', gen_random_uuid(), 5, 300)")
    failure = {"p_name": "arxiv", "p_event": str(uuid4()), "p_threshold": 5, "p_open_seconds": 300}
    async with database.transaction():
        await database.execute("select from public.circuit_breakers for update")
        counting = asyncio.create_task(client.rpc("breaker_failure", failure).execute())
        await somebody_waits(database)
        await database.execute("delete from public.circuit_breakers where name = 'arxiv'")
    assert (await counting).data["failures"] == 1
    assert await database.fetchval("select failures from public.circuit_breakers") == 1
