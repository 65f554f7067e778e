"""The cost of claims and polls with 60,000 other rows, from the plans, in buffers instead of seconds."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from embedded.stack import Ready
from tests.contract.query_plans import CALL, WORKER, buffers, explained, indexes
from tests.support.database_reset import database_reset
from tests.support.tasks import insert_tasks

MANY, READY, GONE = 60_000, 1_000, 20_000
OTHER = "'00000000-0000-4000-8000-000000000002'"
CALLS = f"""
insert into public.worker_calls (worker_id, number, answer, claimed, token, marks, scanned_at, scan_duration)
select w::uuid, case w when {WORKER} then -n else n end, '{{}}', array_fill({WORKER}::uuid, array[100]), {WORKER},
       '{{}}', now(), '0'
  from generate_series(1, {GONE}) as n cross join (values ({WORKER}), ({OTHER})) as workers (w)
"""
CLAIM = """
select q.ctid, q.run_at, q.task_id from public.queue q
 where q.kind = 'delivery' and q.priority = 1 and not q.dead_letter and q.worker_id is null and q.run_at <= now()
 order by q.run_at, q.task_id limit 10 for update skip locked
"""
POLL = "select status, message from public.task_records where task_id = (select task_id from public.tasks limit 1)"
CANCELLED = "select exists (select from public.queue where cancel_requested)"
NEWEST = """
select task_id from public.tasks where owner = 'default' and kind = 'fetch'
 order by created_at desc, task_id desc limit 51
"""


@pytest.fixture
async def crowded(stack: Ready) -> AsyncIterator[asyncpg.Connection]:
    """All rows that a claim must skip, and a thousand ready tasks of another kind; kept for the next test."""
    database = await asyncpg.connect(stack.database_url)
    if await database.fetchval("select count(*) from public.tasks") != 2 * MANY + READY:
        await database_reset(database)
        await insert_tasks(database, MANY, status="completed")
        await insert_tasks(database, MANY // 2, priority=0, delay="1 day")
        await insert_tasks(database, MANY // 2, kind="callback", priority=0)
        await insert_tasks(database, READY, kind="delivery")
        await database.execute("vacuum analyze public.tasks, public.queue")
    yield database
    await database.close()


async def cost_of_claiming(database: asyncpg.Connection, *, from_start: bool = True) -> int:
    """Buffers of a claim over all priorities and kinds, as in sync_worker; of the second call, with cached plans."""
    marks = "array_fill(now() - interval '1 minute', array[8])"
    kinds = "array['fetch', 'digest'], array[10, 10]"
    call = CALL.format(function=f"claim_tasks({WORKER}, {WORKER}, {kinds}, 10, {from_start}, now(), {marks})")
    await explained(database, call)
    return buffers(await explained(database, call))


async def cost_of_a_call(database: asyncpg.Connection, number: int) -> int:
    """Buffers of a sync call that claims one task and does not scan from the start, because it did a moment ago."""
    await database.execute(
        "update public.worker_calls set scanned_at = clock_timestamp(), scan_duration = '1 hour' where number > 0"
    )
    call = f"sync_worker({WORKER}, {number}, 30, array['fetch'], array[1], 1, '[]', '[]', '[]')"
    plan = await explained(database, CALL.format(function=call))
    assert (
        await database.fetchval(f"select cardinality(claimed) from public.worker_calls where worker_id = {WORKER}") == 1
    )
    return buffers(plan)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (CLAIM, "queue_claim"),
        (CANCELLED, "queue_cancel"),
        (NEWEST, "tasks_newest"),
        (POLL, "tasks_pkey"),
    ],
    ids=["claim", "cancel", "list", "poll"],
)
async def test_queries_use_their_indexes(query: str, index: str, crowded: asyncpg.Connection) -> None:
    plan = await explained(crowded, query)
    assert index in indexes(plan)
    assert buffers(plan) < 100


async def test_a_backlog_adds_no_cost_to_a_claim(crowded: asyncpg.Connection) -> None:
    """It reads neither finished tasks, nor delayed ones of the highest priority, nor those of other kinds."""
    # Four priorities of two kinds: eight probes, each a few pages deep into an index of 60,000 rows.
    assert await cost_of_claiming(crowded) <= 8 * 8


async def test_deleted_rows_cost_nothing_under_an_old_snapshot(stack: Ready) -> None:
    """Until the snapshot ends, dead rows stay in the indexes: neither a claim from its mark nor a call reads them."""
    database, old = await asyncpg.connect(stack.database_url), await asyncpg.connect(stack.database_url)
    await database_reset(database)
    async with old.transaction(isolation="repeatable_read"):
        assert await old.fetchval("select count(*) from public.queue") == 0
        await insert_tasks(database, GONE, delay="-1 hour")
        await database.execute(f"{CALLS}; delete from public.queue where not dead_letter")
        await database.execute(f"delete from public.worker_calls where number <> {GONE}")
        await insert_tasks(database, 100)
        await cost_of_a_call(database, 1)
        await database.execute("analyze public.queue, public.worker_calls")
        calls = [await cost_of_a_call(database, number) for number in range(2, 13)]
        # With both plan modes: a generic plan for all marks could lose the bound.
        await database.execute("set plan_cache_mode = force_generic_plan")
        claims = [await cost_of_claiming(database, from_start=False) for _ in range(2)]
    await database.close()
    await old.close()
    assert max(calls[-1], claims[-1]) < 200
