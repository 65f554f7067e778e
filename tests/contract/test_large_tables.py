"""The cost of lists, the overview and retention with many readers, deliveries and shown items, in buffers."""

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest
from supabase import AsyncClient

from app.persistence.health import Health
from app.persistence.operator import Operator
from embedded.stack import Ready
from tests.contract.query_plans import CALL, buffers, explained
from tests.support.database_reset import database_reset

READERS, DELIVERIES, SHOWN = 4_000, 20_000, 40_000
FEW = 250
"""Buffers of a page of 51 rows. The tables have some thousands."""
NEW_READERS = """
insert into public.readers (reader_id, external_id, name, status, status_reason)
select gen_random_uuid(), n, 'Ada', case n % 1000 when 0 then 'bounced' else 'active' end, repeat('x', 1500)
  from generate_series(1, $1::int) n
"""
NEW_DELIVERIES = """
insert into public.deliveries (delivery_id, owner, reader_id, kind, local_day, status, reason, created_at, ended_at)
select gen_random_uuid(), 'default', gen_random_uuid(), 'digest', '2026-03-04',
       case n % 1000 when 0 then 'in_doubt' when 1 then 'failed' else 'sent' end, repeat('x', 100), t.moment, t.moment
  from generate_series(1, $1::int) n cross join lateral (select now() - n * interval '1 minute' as moment) t
"""
NEW_SHOWN = """
insert into public.shown_items (reader_id, key, shown_at)
select gen_random_uuid(), 'arxiv:2603.' || n, now() - $2::int * interval '1 day' from generate_series(1, $1::int) n
"""
DELIVERY_LISTS = {
    "all": "null, null, null, null, null",
    "an owner": "'default', null, null, null, null",
    "in doubt": "null, 'in_doubt', null, null, null",
    "an owner's in doubt": "'default', 'in_doubt', null, null, null",
    "a reader": "null, null, '00000000-0000-4000-8000-000000000000', null, null",
    "behind a cursor": "null, null, null, now() - interval '10 days', '00000000-0000-4000-8000-000000000000'",
}
READER_LISTS = {
    "all owners": ("(text) as select * from public.readers where status = $1 order by reader_id limit 51", "'bounced'"),
    "an owner": (
        "(text, text) as select * from public.readers where owner = $1 and status = $2 order by reader_id limit 51",
        "'default', 'bounced'",
    ),
}


@pytest.fixture
async def full(stack: Ready) -> AsyncIterator[asyncpg.Connection]:
    """Readers and deliveries, kept for the next test."""
    database = await asyncpg.connect(stack.database_url)
    if await database.fetchval("select count(*) from public.deliveries") != DELIVERIES:
        await database_reset(database)
        await database.execute(NEW_READERS, READERS)
        await database.execute(NEW_DELIVERIES, DELIVERIES)
        await database.execute("vacuum analyze public.readers, public.deliveries")
    yield database
    await database.close()


async def cost_of(database: asyncpg.Connection, function: str) -> int:
    """Buffers of a call, after as many calls as PostgreSQL plans with their values."""
    call = CALL.format(function=function)
    for _ in range(7):
        await database.fetchval(call)
    return buffers(await explained(database, call))


@pytest.mark.parametrize("name", DELIVERY_LISTS)
async def test_a_list_of_deliveries_reads_few_of_many(name: str, full: asyncpg.Connection) -> None:
    assert await cost_of(full, f"list_deliveries({DELIVERY_LISTS[name]}, 51)") < FEW


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", READER_LISTS)
async def test_a_list_of_readers_by_status_reads_few(name: str, mode: str, full: asyncpg.Connection) -> None:
    """PostgREST prepares its queries, so the plan may be made without the status."""
    query, values = READER_LISTS[name]
    async with full.transaction():
        await full.execute(f"set local plan_cache_mode = {mode}")
        await full.execute(f"prepare listed {query}")
        plan = await explained(full, f"execute listed ({values})")
        await full.execute("deallocate listed")
    assert buffers(plan) < READERS // 1000 * 10


async def test_the_overview_reads_few_readers_and_deliveries(client: AsyncClient, full: asyncpg.Connection) -> None:
    await Health(client).refresh_delivery_rate()
    cost = await cost_of(full, "operator_overview(6)")
    await full.execute("delete from public.delivery_rate where true")
    assert cost < FEW * 2


async def test_the_overview_has_readers_as_last_counted(client: AsyncClient, database: asyncpg.Connection) -> None:
    await database.execute(NEW_READERS, 2)
    assert [count.readers for count in (await Operator(client).overview()).readers] == [2]
    await Health(client).refresh_delivery_rate()
    await database.execute("delete from public.readers where external_id = '1'")
    assert [count.readers for count in (await Operator(client).overview()).readers] == [2]
    await database.execute("update public.delivery_rate set computed_at = now() - interval '11 minutes'")
    assert [count.readers for count in (await Operator(client).overview()).readers] == [1]


async def test_removing_shown_items_reads_few_in_reused_pages(stack: Ready) -> None:
    database = await asyncpg.connect(stack.database_url)
    try:
        await database_reset(database)
        for days in (200, 0):
            await database.execute(NEW_SHOWN, SHOWN, days)
        await database.execute("vacuum public.shown_items")
        removed = await database.fetchval("select public.prune_shown_items(90, $1)", SHOWN)
        await database.execute("vacuum public.shown_items")
        await database.execute(NEW_SHOWN, SHOWN, 0)
        await database.execute("vacuum analyze public.shown_items")
        cost = await cost_of(database, "prune_shown_items(90, 500)")
    finally:
        await database.close()
    assert removed == SHOWN
    assert cost < FEW


async def test_lists_of_deliveries_merge_owners_and_statuses(database: asyncpg.Connection) -> None:
    await database.execute(NEW_DELIVERIES, 12)
    await database.execute(
        "update public.deliveries set owner = 'ada', status = 'failed' where created_at in"
        " (select created_at from public.deliveries order by created_at desc offset 4 limit 5)"
    )
    expected = "select delivery_id::text from public.deliveries order by created_at desc, delivery_id desc limit 9"
    page = json.loads(await database.fetchval("select public.list_deliveries(null, null, null, null, null, 9)"))
    assert [row["delivery_id"] for row in page] == [row["delivery_id"] for row in await database.fetch(expected)]
