"""Lists of tasks and deliveries: each combination of filters lists its rows, page by page, also those of one moment."""

import json
from datetime import date
from itertools import product
from typing import Any
from uuid import UUID

import asyncpg
import pytest

PAGE = 5
OWNERS, KINDS = ("ada", "eve"), ("digest", "fetch")
STATUSES = ("pending", "running", "completed", "failed", "cancelled")
DAYS = (date(2026, 3, 4), date(2026, 3, 5))
READERS = (UUID(int=1), UUID(int=2))
MAIL_STATUSES = ("pending", "sending", "sent", "failed", "in_doubt", "skipped")

# Three rows of each moment, in an order that has nothing to do with what the filters ask for.
NEW_TASKS = """
create temporary table expected as
    select gen_random_uuid() as task_id, o as owner, k as kind, s as status, d as day,
           s in ('pending', 'running') as open, timestamptz '2026-03-04 10:00Z'
           + interval '1 minute' * ((row_number() over (order by md5((o, k, s, d)::text))) / 3) as created_at
      from unnest($1::text[]) o, unnest($2::text[]) k, unnest($3::text[]) s, unnest($4::date[]) d
"""
INSERT_TASKS = """
insert into public.tasks (task_id, owner, kind, source_date, created_at, request_hash)
    select task_id, owner, kind, day, created_at, 'test' from expected;
insert into public.queue (task_id, kind, priority, run_at, max_attempts, worker_id, dead_letter)
    select task_id, kind, 1, now(), 5, case status when 'running' then gen_random_uuid() end, status = 'failed'
      from expected where open or status = 'failed';
update public.tasks t set status = e.status, finished_at = now()
  from expected e where e.task_id = t.task_id and not e.open
"""
NEW_DELIVERIES = """
insert into public.deliveries (
    delivery_id, owner, reader_id, kind, local_day, status, created_at, token, envelope, begun_at)
select gen_random_uuid(), o, r, 'delete_link', '2026-03-04', s,
       timestamptz '2026-03-04 10:00Z'
       + interval '1 minute' * ((row_number() over (order by md5((o, r, s)::text))) / 3),
       case s when 'sending' then gen_random_uuid() end, case s when 'sending' then '{}'::jsonb end,
       case s when 'sending' then now() end
  from unnest($1::text[]) o, unnest($2::uuid[]) r, unnest($3::text[]) s
"""
Row = dict[str, Any]


def newest(rows: list[Row], key: str, **filters: object) -> list[UUID]:
    """The ids of the rows that match, in the order of a list. None matches all."""
    ordered = sorted(rows, key=lambda row: (row["created_at"], row[key]), reverse=True)
    return [row[key] for row in ordered if all(each in (None, row[name]) for name, each in filters.items())]


async def listed(database: asyncpg.Connection, function: str, key: str, *filters: object) -> list[UUID]:
    """The ids of all pages of a list."""
    values = ", ".join(f"${number}" for number in range(1, len(filters) + 1))
    cursor, found = "null, null", list[UUID]()
    while True:
        page = json.loads(await database.fetchval(f"select public.{function}({values}, {cursor}, {PAGE})", *filters))
        found += [UUID(row[key]) for row in page]
        if len(page) < PAGE:
            return found
        assert len(found) < 1_000, "the pages must end"
        cursor = f"'{page[-1]['created_at']}', '{found[-1]}'"


@pytest.fixture
async def tasks(database: asyncpg.Connection) -> list[Row]:
    """A task of each owner, kind, status and day."""
    await database.execute(NEW_TASKS, OWNERS, KINDS, STATUSES, DAYS)
    await database.execute(INSERT_TASKS)
    rows = [dict(row) for row in await database.fetch("select * from expected")]
    await database.execute("drop table expected")
    return rows


async def test_each_combination_of_filters_lists_its_tasks(database: asyncpg.Connection, tasks: list[Row]) -> None:
    for owner, kind, status, day in product((None, *OWNERS), (None, *KINDS), (None, "open", *STATUSES), (None, *DAYS)):
        found = await listed(database, "list_tasks", "task_id", owner, kind, status, day)
        wanted = {"open": True} if status == "open" else {"status": status}
        assert found == newest(tasks, "task_id", owner=owner, kind=kind, day=day, **wanted), (owner, kind, status, day)


async def test_each_combination_of_filters_lists_its_deliveries(database: asyncpg.Connection) -> None:
    await database.execute(NEW_DELIVERIES, OWNERS, READERS, MAIL_STATUSES)
    mails = [dict(row) for row in await database.fetch("select * from public.deliveries")]
    for owner, status, reader in product((None, *OWNERS), (None, *MAIL_STATUSES), (None, *READERS)):
        found = await listed(database, "list_deliveries", "delivery_id", owner, status, reader)
        assert found == newest(mails, "delivery_id", owner=owner, status=status, reader_id=reader), (
            owner,
            status,
            reader,
        )
