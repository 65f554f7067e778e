"""The rows of the capacity benchmark: a month of digests and mails, dead letters, and tasks that can be claimed."""

import asyncio

import asyncpg

from app.models.tasks import TaskKind
from benchmarks.queue import create_batch

DAYS = 31
"""The oldest of these days is beyond the retention of 30 days."""
CHUNK = 500_000
"""Rows of a statement."""
# Sequential ids, so that a million rows are inserted within a minute.
TASKS = """
insert into public.tasks (
    task_id, kind, payload, source_date, reader_id, local_day, parent, request_hash, priority, created_at, status,
    result, message, progress, attempt, started_at, finished_at, ended_by)
select id, kind, payload || jsonb_build_object('delivery_id', id), case kind when 'digest' then moment::date - 1 end,
       id, moment::date, case kind when 'delivery' then id end, '', 2, moment,
       case when n % 50000 = 0 then 'cancelled' else 'completed' end,
       case kind when 'digest' then '{"items": 12}'::jsonb else '{}' end, 'Written', 1, 1, moment + interval '1 s',
       moment + interval '2 s', id
  from generate_series($1::bigint, $2) n
 cross join lateral (
    select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as id,
           now() - interval '31 days' + n * interval '31 days' / $3 as moment,
           case n % 2 when 0 then 'digest' else 'delivery' end as kind,
           case n % 2 when 1 then '{}' else
               '{"profile": {"name": "Reader 123456", "interests": ["graph neural networks", "robustness"]},
                 "max_papers": 12, "max_news": 6, "scheduled": {"reader_id": "00000000-0000-4000-8000-000000000000",
                 "local_day": "2026-11-29", "due_at": "2026-11-29T06:00:00+00:00",
                 "next_due_at": "2026-11-30T06:00:00+00:00"}}' end::jsonb as payload) m
"""
# A delivery for every tenth task: lists read only the newest of them.
DELIVERIES = """
insert into public.deliveries (
    delivery_id, owner, reader_id, kind, local_day, digest_id, task_id, tasks, status, token, claimed_by, begun_at,
    created_at, ended_at)
select id, 'default', id, 'digest', moment::date, id, id, 1, 'sent', id, id, moment, moment, moment
  from generate_series($1::bigint, $2) n
 cross join lateral (
    select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as id,
           now() - interval '31 days' + n * interval '31 days' / $3 as moment) m
 where n % 10 = 0
"""
CANCELLED = """
insert into public.cancelled_tasks (task_id, owner, kind, source_date, created_at)
select task_id, owner, kind, source_date, created_at from public.tasks where status = 'cancelled'
"""
DEAD = """
with dead as (
    insert into public.tasks (task_id, kind, request_hash, status, error, finished_at)
    select gen_random_uuid(), 'digest', '', 'failed', 'HTTP 500 from host ' || n % 20, now()
      from generate_series(1, $1::int) n
    returning task_id, error)
insert into public.queue (task_id, kind, priority, run_at, max_attempts, dead_letter, error)
select task_id, 'digest', 1, now(), 5, true, error from dead
"""
INDEXES = (
    "select indexname, indexdef from pg_indexes where schemaname = 'public' and tablename in ('tasks', 'deliveries')"
    " and indexname not in (select conname from pg_constraint)"
)
SIZES = """
select pg_relation_size('public.tasks')::float8 as table, pg_indexes_size('public.tasks')::float8 as indexes
"""
INDEX_SIZES = """
select indexrelid::regclass::text as name, pg_relation_size(indexrelid)::float8 as bytes
  from pg_index where indrelid = 'public.tasks'::regclass
"""


async def fill_tables(database: asyncpg.Pool, present: int, rows: int, *, dead_letters: int, ready: int) -> None:
    """Fill the tables up to so many ended tasks, two chunks at a time, while the indexes are dropped."""
    indexes = await database.fetch(INDEXES)
    for index in indexes:
        await database.execute(f"drop index public.{index['indexname']}")
    chunks = [(first, min(first + CHUNK - 1, rows)) for first in range(present + 1, rows + 1, CHUNK)]
    for insert in (TASKS, DELIVERIES):
        for two in zip(chunks[::2], [*chunks[1::2], None], strict=False):
            await asyncio.gather(*(database.execute(insert, *chunk, rows) for chunk in two if chunk))
    for index in indexes:
        await database.execute(index["indexdef"])
    await database.execute(CANCELLED)
    await database.execute(DEAD, dead_letters)
    async with database.acquire() as connection:
        await create_batch(connection, ready, TaskKind.DIGEST)


async def sizes(database: asyncpg.Pool, rows: int) -> dict[str, float]:
    """Bytes for each task: of the table, of all indexes, and of each index."""
    one = await database.fetchrow(SIZES)
    each = {row["name"]: row["bytes"] / rows for row in await database.fetch(INDEX_SIZES)}
    return {"table": one["table"] / rows, "indexes": one["indexes"] / rows, **each}
