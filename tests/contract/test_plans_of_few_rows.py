"""The cost of calls that use plans for few rows: after a quiet hour, thousands of rows arrive before `analyze` runs."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from embedded.stack import Ready
from tests.contract.query_plans import CALL, WORKER, buffers, explained
from tests.support.database_reset import database_reset
from tests.support.tasks import insert_tasks

OUTCOMES: dict[str, dict[str, Any]] = {
    "failed for now": {"outcome": "failed", "error": "e", "delay_seconds": 0},
    "failed permanently": {"outcome": "failed", "error": "e", "permanent": True},
    "snoozed": {"outcome": "snoozed", "error": "e", "delay_seconds": 0},
    "cancelled": {"outcome": "cancelled"},
    "completed": {"result": {}},
}
PROGRESS = {"message": "half of it", "progress": 0.5}
TOGETHER = 50
A_TASK = 100
"""Buffers: each step of a call reads some ten pages of tables and indexes; a whole index has hundreds of pages."""

NAMES = "jsonb_build_array('arxiv:' || n, 'title:' || n)"
PAPER = f"""
jsonb_build_object('external_id', n::text, 'keys', {NAMES}, 'kind', 'paper', 'title', 'Ice', 'abstract', 'It melts.',
    'authors', '[]'::jsonb, 'source', 'arxiv', 'categories', '[]'::jsonb, 'origin', 'given', 'vector', '',
    'liked', true)"""
READER = """
jsonb_build_object('reader_id', md5('reader' || n)::uuid, 'external_id', n::text, 'name', 'Ada', 'welcome', true,
    'address', n || '@example.org', 'timezone', 'UTC', 'send_at', '07:00')"""
RENAMED = PAPER.replace(NAMES, f"{NAMES} || to_jsonb('doi:' || n)")
ADA = "md5('reader1')::uuid"
ARRIVALS = {
    "readers": ("upsert_readers('default', {every}, true)", READER),
    "articles": ("save_articles('2026-03-04', {every})", PAPER),
    "articles by another name": ("save_articles('2026-03-04', {every})", RENAMED),
    "a reader's papers": (f"upsert_reader_papers({ADA}, {{every}})", PAPER),
    "feedback": (f"paper_feedback({ADA}, {{every}})", NAMES),
}
CLAIMED = """
update public.queue set worker_id = task_id, lease_token = task_id
 where task_id in (select task_id from public.deliveries where status = 'pending' order by delivery_id limit {count})"""
SENT = """
with begun as materialized (
    select d.delivery_id, d.task_id, public.begin_sending(d.delivery_id, d.task_id, 1)
      from public.deliveries d join public.queue q using (task_id)
     where q.worker_id is not null and d.status = 'pending')
select public.finish_sending(delivery_id, task_id, 'sent', null, null, false) from begun"""
A_READER = 50
"""Buffers of a reader without an e-mail address."""
A_THING = 125
"""Buffers of inserts and look-ups by key. Without an index they grow with the number of rows."""


async def test_plans_made_for_a_few_rows_are_good_for_many(stack: Ready) -> None:
    database, numbers = await asyncpg.connect(stack.database_url), itertools.count(1)
    try:
        await database_reset(database)
        await insert_tasks(database, 2, status="completed")
        await database.execute("vacuum analyze public.tasks, public.queue")
        await insert_tasks(database, 10)
        for _ in range(2):
            await costs_of_ends(database, numbers, 1)
        await insert_tasks(database, 5_000, status="completed")
        await insert_tasks(database, 5_000)
        costs = await costs_of_ends(database, numbers, TOGETHER)
    finally:
        await database.close()
    assert {what: cost for what, cost in costs.items() if cost > TOGETHER * A_TASK} == {}


async def costs_of_ends(database: asyncpg.Connection, numbers: Iterator[int], count: int) -> dict[str, int]:
    """Buffers of operations on this many tasks: claims, progress, every outcome, and replays."""
    costs = {}
    for name, outcome in OUTCOMES.items():
        costs["claimed"] = await cost_of_sync(database, next(numbers), slots=count)
        claimed = await database.fetch("select task_id, lease_token from public.queue where worker_id is not null")
        ends = json.dumps([{key: str(value) for key, value in row.items()} | outcome | PROGRESS for row in claimed])
        costs["reported"] = await cost_of_sync(database, next(numbers), "[]", "[]", ends)
        lists = (ends, "[]") if name == "completed" else ("[]", ends)
        costs[name] = await cost_of_sync(database, next(numbers), *lists)
        costs[f"{name}, twice"] = await cost_of_sync(database, next(numbers), *lists)
    dead = "array(select task_id from public.queue where dead_letter)"
    costs["replayed"] = buffers(await explained(database, CALL.format(function=f"reopen_tasks({dead})")))
    return costs


async def cost_of_sync(database: asyncpg.Connection, number: int, *lists: str, slots: int = 0) -> int:
    """Buffers of a sync call with these lists: completed tasks, other outcomes, and progress."""
    sent = ", ".join(f"'{each}'" for each in (*lists, "[]", "[]", "[]")[:3])
    call = f"sync_worker({WORKER}, {number}, 30, array['fetch'], array[{slots}], {slots}, {sent})"
    return buffers(await explained(database, CALL.format(function=call)))


async def test_the_first_thousands_are_stored_as_fast_as_the_first(stack: Ready) -> None:
    database = await asyncpg.connect(stack.database_url)
    try:
        await database_reset(database)
        await database.execute("select public.begin_edition('2026-03-04')")
        await costs_of_arrivals(database, 1, 60)
        await database.execute("vacuum analyze")
        for first in range(61, 67):
            await costs_of_arrivals(database, first, first)
        await costs_of_arrivals(database, 67, 1_266)
        costs = await costs_of_arrivals(database, 1_267, 1_266 + TOGETHER)
    finally:
        await database.close()
    assert {what: cost for what, cost in costs.items() if cost > TOGETHER * A_THING} == {}


@pytest.mark.parametrize("analyzed", [False, True], ids=["never analyzed", "analyzed when empty"])
async def test_readers_are_stored_as_fast_without_statistics(stack: Ready, analyzed: bool) -> None:
    database = await asyncpg.connect(stack.database_url)
    call, what = ARRIVALS["readers"]
    try:
        await database_reset(database)
        # As in a new table: a truncation resets the row counts, but not the column statistics.
        await database.execute("truncate public.readers cascade")
        await database.execute("delete from pg_statistic where starelid = 'public.readers'::regclass")
        if analyzed:
            await database.execute("analyze public.readers")
        await cost_of_arrival(database, call, what, 1, 1_200)
        cost = await cost_of_arrival(database, call, what, 1_201, 1_200 + TOGETHER)
    finally:
        await database.close()
    assert cost < TOGETHER * A_THING


async def test_readers_of_a_new_owner_are_stored_as_fast(stack: Ready) -> None:
    """The statistics have another owner only, as in a large table until autovacuum updates them."""
    database = await asyncpg.connect(stack.database_url)
    try:
        await database_reset(database)
        await cost_of_arrival(database, *ARRIVALS["readers"], 1, 1_000)
        await database.execute("vacuum analyze public.readers")
        call, reader = "upsert_readers('new', {every}, true)", ARRIVALS["readers"][1]
        await cost_of_arrival(database, call, reader, 1_001, 3_000)
        cost = await cost_of_arrival(database, call, reader, 3_001, 3_000 + TOGETHER)
    finally:
        await database.close()
    assert cost < TOGETHER * A_READER


async def cost_of_arrival(database: asyncpg.Connection, call: str, what: str, first: int, last: int) -> int:
    every = f"(select jsonb_agg({what}) from generate_series({first}, {last}) n)"
    return buffers(await explained(database, CALL.format(function=call.format(every=every))))


async def costs_of_arrivals(database: asyncpg.Connection, first: int, last: int) -> dict[str, int]:
    """Buffers of these numbers of readers, articles and papers: writes, reads and mails."""
    costs = {}
    for name, (call, what) in ARRIVALS.items():
        costs[name] = await cost_of_arrival(database, call, what, first, last)
    count = last - first + 1
    items = f"items_of_day((now() at time zone 'UTC')::date, null, null, {count})"
    await database.execute(CLAIMED.format(count=count))
    mails = {"mails": buffers(await explained(database, SENT))}
    return costs | mails | {"a day's items": buffers(await explained(database, CALL.format(function=items)))}
