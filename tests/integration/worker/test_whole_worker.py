"""A whole worker: its identification, its metrics, its periodic jobs, and its end."""

import asyncio
import json
import signal
from datetime import timedelta
from socket import gethostname
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from supabase import AsyncClient

import worker.main
from app.days import yesterday
from app.installation.versions import project_version
from app.persistence.reader_papers import PaperInput
from app.services import Services
from embedded.stack import Ready
from tests.integration.worker.whole_worker import SIGNALS, settings_of, whole_worker
from tests.support.feedback import rate
from tests.support.fixture_types import Serve
from tests.support.proxy import Answer, Proxy, Times
from tests.support.running_worker import PATIENCE, until
from tests.support.schedule import add_reader
from tests.support.scripted_server import stall
from tests.support.source_responses import ATOM_HEAD, reply
from tests.support.tasks import insert_tasks
from worker.periodic.daily_fetch import DAYS
from worker.periodic.retention import Retention
from worker.runner import Worker
from worker.supervisor import PeriodicJobFailed

FAILED = "select count(*) = $1 from public.tasks where status = 'failed'"
REPORTS = "select worker_id from public.task_stat_reports"
KINDS = ["fetch", "digest", "callback", "import"]
REQUESTS = "schema_version"
PAPER = "2611.00001"
FEED = (
    f"{ATOM_HEAD}<entry><id>http://arxiv.org/abs/{PAPER}v1</id>"
    "<title>Ice remembers</title><summary>Radar reads it.</summary></entry></feed>"
)
AGED = """
with tasks as (
  insert into public.tasks (task_id, kind, request_hash, max_attempts, status, created_at, finished_at)
  select gen_random_uuid(), 'fetch', 'test', 5, 'completed', now() - age, now() - age
    from unnest($1::interval[]) age
), editions as (
  insert into public.editions (source_date, updated_at) select now() - age, now() - age from unnest($1::interval[]) age
), deliveries as (
  insert into public.deliveries (delivery_id, owner, reader_id, kind, local_day, status, created_at, ended_at)
  select gen_random_uuid(), 'default', gen_random_uuid(), 'digest', now() - age, 'sent', now() - age, now() - age
    from unnest($1::interval[]) age
)
insert into public.digests (task_id, owner, source_date, reader_id, local_day, digest, created_at)
select gen_random_uuid(), 'default', now() - age, gen_random_uuid(), now() - age, '{}', now() - age
  from unnest($1::interval[]) age
"""
ARGUMENTS = """
select (select count(*) from public.tasks where owner = 'default' and kind = 'fetch') = 1
   and (select count(*) from public.editions) = 2 and (select count(*) from public.digests) = 3
   and (select count(*) from public.deliveries) = 4
"""


async def test_a_worker_registers_itself_and_counts_its_tasks(stack: Ready, database: asyncpg.Connection) -> None:
    for kind in KINDS:
        await insert_tasks(database, 1, kind=kind, payload='{"url": 7}', max_attempts=1)
    async with whole_worker(settings_of(stack, concurrency="7", lease_seconds="61")) as running:
        await until(database, FAILED, len(KINDS))
        await until(database, f"select exists ({REPORTS})")
        started, metrics = await running.logged("worker started"), await running.page("/metrics")
        health = json.loads(await running.page("/healthz"))
        row = await database.fetchrow("select worker_id, host, version, lease from public.workers")
        await running.stop()
    assert (started["kinds"], started["concurrency"]) == (KINDS, 7)
    assert tuple(row) == (UUID(started["worker_id"]), gethostname(), project_version(), timedelta(seconds=61))
    assert (health["status"], health["running_tasks"]) == ("ok", 0)
    for kind in KINDS:
        assert f'broadsheet_tasks_total{{kind="{kind}",outcome="failed"}} 1.0' in metrics
        assert f'broadsheet_task_duration_seconds_count{{kind="{kind}"}} 1.0' in metrics
    for counted in ("supabase_calls_total", "supabase_attempts_total"):
        assert f'broadsheet_{counted}{{outcome="200"}}' in metrics
    assert "broadsheet_event_loop_lag_seconds_count" in metrics
    assert await database.fetchval(REPORTS) == UUID(started["worker_id"])
    minutes = await database.fetch("select kind, sum(failed) from public.task_stats group by kind order by kind")
    assert [tuple(minute) for minute in minutes] == [(kind, 1) for kind in sorted(KINDS)]
    assert running.log[-1]["event"] == "worker stopped"


async def test_each_kind_of_record_has_its_own_retention(stack: Ready, database: asyncpg.Connection) -> None:
    await database.execute(AGED, [timedelta(days=days) for days in (9, 19, 29, 31, 41)])
    kept = {
        "task_retention_days": "10",
        "edition_retention_days": "20",
        "digest_retention_days": "30",
        "delivery_retention_days": "40",
    }
    async with whole_worker(settings_of(stack, **kept)) as running:
        await until(database, ARGUMENTS)
        await running.stop()


async def test_due_readers_and_recent_days_get_their_tasks(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection
) -> None:
    reader = await add_reader(client)
    await database.execute("update public.readers set next_due_at = next_due_at - interval '1 day'")
    async with whole_worker(settings_of(stack, daily_fetch_at="00:00")) as running:
        await until(database, "select exists (select from public.tasks where reader_id = $1)", reader.reader_id)
        await until(database, "select count(*) = $1 from public.tasks where owner = 'system'", DAYS)
        await running.stop()
    newest = await database.fetchval("select max(source_date) from public.tasks where owner = 'system'")
    assert newest == yesterday()


async def test_without_a_configured_time_there_is_no_daily_fetch(stack: Ready, database: asyncpg.Connection) -> None:
    async with whole_worker(settings_of(stack)) as running:
        await running.logged("retention")
        await running.stop()
    assert await database.fetchval("select count(*) from public.tasks") == 0


async def test_a_readers_paper_is_looked_up_at_the_configured_url(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, serve: Serve
) -> None:
    arxiv = await serve(reply(FEED.encode()))
    reader = await add_reader(client)
    papers = Services.build(client).reader_papers
    await rate(papers, reader.reader_id, PaperInput(keys=(f"arxiv:{PAPER}",), arxiv_id=PAPER), True)
    async with whole_worker(settings_of(stack, arxiv_base_url=arxiv.url, user_agent="Ada's own")) as running:
        looked_up = await running.logged("papers looked up")
        await running.stop()
    assert (looked_up["requested"], looked_up["found"]) == (1, 1)
    assert await database.fetchval("select title from public.reader_papers") == "Ice remembers"
    assert "user-agent: ada's own" in arxiv.heads[0].lower()


async def test_a_worker_without_mail_reports_it_everywhere(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection
) -> None:
    async with whole_worker(settings_of(stack, daily_fetch_at="06:00")) as running:
        logged_record = await running.logged("not configured")
        await until(database, "select exists (select from public.worker_configuration)")
        await until(database, "select exists (select from public.workers)")
        health = json.loads(await running.page("/healthz"))
        (worker,) = await Services.build(client).operator.workers()
        await running.stop()
    expected = {"MAIL_URL": "this worker sends no mails"}
    assert {logged_record["setting"]: logged_record["effect"]} == expected
    assert (health["not_configured"], worker.not_configured) == (expected, expected)


@pytest.mark.parametrize("number", SIGNALS)
async def test_one_signal_lets_tasks_finish_and_a_second_ends_them(
    number: signal.Signals, stack: Ready, database: asyncpg.Connection, serve: Serve
) -> None:
    called = asyncio.Event()

    async def hold(writer: asyncio.StreamWriter) -> None:
        called.set()
        await stall(writer)

    receiver = await serve(hold)
    await insert_tasks(database, 1, kind="callback", payload=json.dumps({"url": receiver.url, "event": {}}))
    async with whole_worker(settings_of(stack, grace_period="3600")) as running:
        async with asyncio.timeout(PATIENCE):
            await called.wait()
        running.signalled(number)
        stopping = await running.logged("stopping")
        assert not running.running.done()
        running.signalled(number)
        with pytest.raises(asyncio.CancelledError):
            await running.ended()
    assert (stopping["running_tasks"], stopping["grace"]) == (1, 3600)
    assert [record for record in running.log if record["event"] == "worker stopped"] == []


async def die(*_arguments: Any) -> None:
    raise LookupError("injected fault")


async def forever(*_arguments: Any) -> None:
    await asyncio.Event().wait()


async def test_a_failed_periodic_job_is_logged_and_ends_the_worker(
    stack: Ready,
    database_reset: None,  # noqa: ARG001  (run first)
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Retention, "run", die)
    async with whole_worker(settings_of(stack)) as running:
        with pytest.raises(PeriodicJobFailed, match=r"^The worker's retention failed: LookupError: injected fault$"):
            await running.ended()
    (logged_record,) = [record for record in running.log if record["event"] == "periodic job failed"]
    assert (logged_record["log_level"], logged_record["periodic_job"], str(logged_record["exc_info"])) == (
        "error",
        "retention",
        "injected fault",
    )


async def test_a_stopped_claim_loop_ends_the_worker_without_grace(
    stack: Ready,
    database_reset: None,  # noqa: ARG001  (run first)
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Worker, "_pause", forever)
    quick = {"lease_seconds": "0.4", "supabase_call_timeout": "0.1", "grace_period": "3600"}
    async with whole_worker(settings_of(stack, **quick)) as running:
        with pytest.raises(
            PeriodicJobFailed, match=r"^The worker's watch failed: LoopStopped: .* has made no call for 0\.4 s\.$"
        ):
            await running.ended()


async def test_the_schema_check_repeats_until_it_gets_a_response(
    stack: Ready,
    database_reset: None,  # noqa: ARG001  (run first)
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker.main, "SCHEMA_CHECK_SECONDS", 0.05)
    proxy.before = away = Times(Answer(401, '{"message": "Invalid API key"}'), 3, lambda call: call.name == REQUESTS)
    async with whole_worker(settings_of(stack, supabase_url=proxy.url)) as running:
        async with asyncio.timeout(PATIENCE):
            while any(task.get_name() == "schema check" for task in asyncio.all_tasks()):
                await asyncio.sleep(0.01)
        await running.stop()
    assert away.given
    # On a slow machine, another call may have no response within that time.
    assert sum(call.name == REQUESTS for call in proxy.calls) >= 4
