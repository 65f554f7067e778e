"""The statements for pg_cron in docs/SUPABASE.md: they schedule commands that enqueue digests and remove old rows."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from supabase import AsyncClient

from app.config import WorkerSettings
from app.persistence.schedule import BATCH
from tests.support.schedule import Clock, add_reader
from tests.support.seed import DAY, apply_seed
from tests.support.tasks import insert_tasks
from worker.periodic.retention import AUDIT_RETENTION_DAYS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "SUPABASE.md").read_text(encoding="utf-8")
SCHEDULED, UNSCHEDULED = re.findall(r"```sql\n(.*?)```", DOCUMENT.partition("## pg_cron\n")[2], re.DOTALL)
FIELD = r"(\*|\d+(-\d+)?)(/\d+)?"
CRON = """
create schema cron;
create table cron.job (
    jobid bigint generated always as identity, jobname text unique, schedule text not null, command text not null
);
create table cron.job_run_details (jobid bigint, start_time timestamptz, end_time timestamptz);
create function cron.schedule(job_name text, schedule text, command text) returns bigint language sql as $$
    insert into cron.job (jobname, schedule, command) values ($1, $2, $3)
    on conflict (jobname) do update set schedule = excluded.schedule, command = excluded.command returning jobid
$$;
create function cron.unschedule(job_name text) returns boolean language sql as $$
    delete from cron.job where jobname = $1 returning true
$$;
"""
"""The part of pg_cron's interface that the statements use; jobs are recorded and not run."""


@pytest.fixture
async def cron(database: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    await database.execute(CRON)
    await database.execute(SCHEDULED)
    yield database
    await database.execute("drop schema cron cascade")


async def run(cron: asyncpg.Connection, name: str) -> None:
    """Run a job's command once, in its own transaction."""
    await cron.execute(await cron.fetchval("select command from cron.job where jobname = $1", name))


async def test_each_job_is_scheduled_once(cron: asyncpg.Connection) -> None:
    jobs = await cron.fetch("select * from cron.job order by jobid")
    assert len(jobs) == 6
    await cron.execute(SCHEDULED)
    assert await cron.fetch("select * from cron.job order by jobid") == jobs
    for job in jobs:
        assert re.fullmatch(rf"{FIELD}( {FIELD}){{4}}", job["schedule"]), job
        await run(cron, job["jobname"])


async def test_a_job_enqueues_due_digests(cron: asyncpg.Connection, client: AsyncClient, clock: Clock) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    reader = await add_reader(client)
    await clock.set("2026-11-24T07:00:00Z")
    for _ in range(2):
        await run(cron, "broadsheet-enqueue-due")
    tasks = await cron.fetch("select reader_id, status from public.tasks join public.queue using (task_id)")
    assert [tuple(task) for task in tasks] == [(reader.reader_id, None)]


async def test_jobs_remove_old_rows(cron: asyncpg.Connection) -> None:
    await apply_seed(cron)
    await insert_tasks(cron, 2)
    await cron.execute("delete from public.queue where true")
    await cron.execute(
        "update public.tasks set status = 'completed', created_at = now() - a.age, finished_at = now() - a.age"
        " from (select task_id, case row_number() over (order by task_id) when 1 then interval '31 days'"
        " else interval '29 days' end as age from public.tasks) a where a.task_id = tasks.task_id"
    )
    await cron.execute("update public.editions set updated_at = now() - interval '91 days' where source_date = $1", DAY)
    await run(cron, "broadsheet-retention")
    assert await cron.fetchval("select count(*) from public.tasks") == 1
    assert await cron.fetchval("select count(*) from public.articles") == 0


async def test_the_history_of_runs_is_removed_after_a_week(cron: asyncpg.Connection) -> None:
    await cron.execute(
        "insert into cron.job_run_details select n, now() - n * interval '1 day', now() - n * interval '1 day'"
        " from generate_series(6, 8) n"
    )
    await run(cron, "broadsheet-cron-history")
    assert await cron.fetchval("select array_agg(jobid) from cron.job_run_details") == [6]


async def test_all_jobs_can_be_removed(cron: asyncpg.Connection) -> None:
    await cron.execute(UNSCHEDULED)
    assert await cron.fetchval("select count(*) from cron.job") == 0


def test_the_recipes_have_the_workers_defaults() -> None:
    fields = WorkerSettings.model_fields
    task, edition, digest, delivery = (
        fields[f"{kind}_retention_days"].default for kind in ("task", "edition", "digest", "delivery")
    )
    for call in (
        f"enqueue_due({BATCH})",
        f"apply_retention({task}, {edition}, 500)",
        f"prune_digests({digest}, 500)",
        f"prune_records({delivery}, {AUDIT_RETENTION_DAYS}, 500)",
        "prune_sign_ups(500)",
    ):
        assert call in SCHEDULED
