"""The periodic jobs of a worker process: retention and the daily fetch."""

import asyncpg

from app.days import yesterday
from embedded.stack import Ready
from tests.support.processes import LONG_LEASE, ServiceProcess, worker_process
from tests.support.running_worker import until
from tests.support.tasks import insert_tasks
from worker.periodic.daily_fetch import DAYS

STARTED = "worker started"
NOWHERE = {"GRACE_PERIOD": "0.1", "ARXIV_BASE_URL": "http://127.0.0.1:9", "FEEDS": "none=http://127.0.0.1:9/rss"}


async def test_retention_removes_only_expired_rows(stack: Ready, database: asyncpg.Connection) -> None:
    for days in (11, 9):
        await insert_tasks(database, 3, status="completed")
        await database.execute(
            "update public.tasks set created_at = created_at - $1::text::interval, payload = $2::text::jsonb,"
            " finished_at = finished_at - $1::text::interval where payload = '{}'",
            f"{days} days",
            f'{{"days": {days}}}',
        )
    await database.execute(
        "insert into public.editions (source_date, updated_at)"
        " select current_date - days, now() - make_interval(days => days) from unnest(array[21, 19]) as d(days)"
    )
    worker = ServiceProcess(
        "tests.support.injected_faults",
        stack.url,
        stack.secret_key,
        "retention without a wait",
        **LONG_LEASE,
        TASK_RETENTION_DAYS="10",
        EDITION_RETENTION_DAYS="20",
    )
    await worker.start(STARTED)
    await until(database, "select not exists (select from public.tasks where payload @> '{\"days\": 11}')")
    await until(database, "select count(*) = 1 from public.editions")
    assert await worker.stop() == 0
    assert await database.fetchval("select count(*) from public.tasks") == 3
    assert await database.fetchval("select current_date - source_date from public.editions") == 19


async def test_all_workers_together_request_each_day_once(stack: Ready, database: asyncpg.Connection) -> None:
    workers = [worker_process(stack, DAILY_FETCH_AT="00:00", **NOWHERE, **LONG_LEASE) for _ in range(2)]
    for worker in workers:
        await worker.start(STARTED)
    begun = (
        "select count(*) = 1 from public.task_records"
        " where kind = 'fetch' and source_date = $1 and started_at is not null"
    )
    await until(database, begun, yesterday())
    for worker in workers:
        assert await worker.stop() == 0
    assert await database.fetchval("select count(*) from public.tasks") == DAYS


async def test_a_worker_that_stops_sends_its_last_task_stats(stack: Ready, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 1, kind="callback", max_attempts=1)
    worker = worker_process(stack, **NOWHERE, **LONG_LEASE)
    await worker.start(STARTED)
    await until(database, "select count(*) = 1 from public.tasks where status = 'failed'")
    assert await worker.stop() == 0
    found = await database.fetch("select kind, sum(failed) from public.task_stats group by kind order by kind")
    assert [tuple(row) for row in found] == [("callback", 1), ("digest", 0), ("fetch", 0), ("import", 0)]
