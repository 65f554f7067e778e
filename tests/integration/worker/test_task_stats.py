"""A worker's ended tasks are reported once a minute, and counted once even if a report is repeated."""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.errors import PermanentError
from app.models.tasks import TaskKind
from app.persistence.outcomes import Completed, Lease, Released, Snoozed
from app.persistence.queue import ClaimedTask
from app.persistence.task_stats import TaskCounts, TaskStats
from embedded.stack import Ready
from tests.integration.worker.whole_worker import Earliest
from tests.support.proxy import Answer, Proxy, Times
from tests.support.running_worker import StartWorker, until
from tests.support.tasks import LEASE, insert_tasks
from worker.job import Job
from worker.periodic.task_stats import EARLIEST, LATEST, MINUTE, SAMPLE, Tally, TaskStatsReporter

AWAY = Answer(503, "<html>Service Unavailable</html>")
COUNTS = "select sum(completed)::int, sum(failed)::int, sum(retried)::int, sum(waits)::int from public.task_stats"


async def by_attempt(job: Job) -> dict[str, Any]:
    """Fails the first time, and permanently if the payload says so."""
    if job.task.attempt == 1:
        raise ConnectionError
    if job.task.payload:
        raise PermanentError("no")
    return {}


def ended(digest: Any = None) -> tuple[ClaimedTask, Completed]:
    task = ClaimedTask(Lease(uuid4(), uuid4()), TaskKind.DIGEST, 1, 5, LEASE, None, {})
    return task, Completed({}, digest)


async def test_lost_reports_are_repeated_and_each_task_counts_once(
    proxy: Proxy, start_worker: StartWorker, stack: Ready, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 3)
    await insert_tasks(database, 1, payload='{"x": 1}')
    running = await start_worker(by_attempt, retry_delay=lambda *_: LEASE * 0)
    await until(database, "select count(*) = 4 from public.tasks where status is not null")
    await running.stop()
    tally = Tally([TaskKind.FETCH, TaskKind.CALLBACK], Random(1))
    for outcome in running.outcomes[:5]:
        tally.count(*outcome)
    settings = {"supabase_url": proxy.url, "supabase_key": stack.secret_key, "supabase_retries": 0}
    async with open_supabase(SupabaseSettings.model_validate(settings)) as client:
        periodic_job = TaskStatsReporter(TaskStats(client), uuid4(), tally, random=Random(1))
        proxy.after = Times(AWAY, 1, lambda call: call.name == "report_task_stats")
        proxy.before = Times(AWAY, 1, lambda _call: len(proxy.calls) == 2)
        for _ in range(2):
            assert await periodic_job.run_once() == MINUTE / 2, "first the response was lost, then the call"
        for outcome in running.outcomes[5:]:
            tally.count(*outcome)
        for _ in range(2):
            # At this worker's second of the next minute of the database's clock.
            second = (
                await database.fetchval("select extract(second from now())::float8") + await periodic_job.run_once()
            ) % 60
            assert EARLIEST - 5 < second < LATEST + 5
        assert await periodic_job.run_once() > 0
    assert tuple(await database.fetchrow(COUNTS)) == (3, 1, 4, 4)
    assert await database.fetchval("select count(distinct kind) from public.task_stats") == 2
    reports = [call.body["p_number"] for call in proxy.calls if call.name == "report_task_stats"]
    assert reports == [1, 1, 1, 2, 3]


class InterruptedMinutes(TaskStats):
    """Does not respond to the first report; `reports` has all of them: the number and the count of ended tasks."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.reports: list[tuple[int, int]] = []

    async def report(self, worker_id: UUID, number: int, ended: Mapping[TaskKind, TaskCounts]) -> float:  # noqa: ARG002  (its names)
        self.reports.append((number, ended[TaskKind.DIGEST].completed))
        if not self.called.is_set():
            self.called.set()
            await asyncio.Event().wait()
        return 0.0


async def test_a_worker_stopped_during_a_report_sends_a_last_one() -> None:
    minutes, tally = InterruptedMinutes(), Tally([TaskKind.DIGEST], Random(1))
    running = asyncio.create_task(TaskStatsReporter(minutes, uuid4(), tally, random=Earliest()).run())
    tally.count(*ended())
    await minutes.called.wait()
    for _ in range(2):
        tally.count(*ended())
    running.cancel()
    await asyncio.wait({running})
    assert minutes.reports == [(1, 1), (1, 1), (2, 2)]


async def test_a_refused_report_does_not_stop_later_ones(
    stack: Ready, database: asyncpg.Connection, proxy: Proxy
) -> None:
    tally = Tally([TaskKind.DIGEST], Random(1))
    settings = {"supabase_url": proxy.url, "supabase_key": stack.secret_key, "supabase_retries": 0}
    proxy.before = Times(Answer(400, '{"code": "22003", "message": "out of range"}'), 1, lambda _call: True)
    async with open_supabase(SupabaseSettings.model_validate(settings)) as client:
        periodic_job = TaskStatsReporter(TaskStats(client), uuid4(), tally, random=Random(1))
        for _ in range(2):
            tally.count(*ended())
            await periodic_job.run_once()
    assert await database.fetchval("select sum(completed) from public.task_stats") == 1


def test_implausible_model_usage_is_ignored_or_capped() -> None:
    tally = Tally([TaskKind.DIGEST], Random(1))
    usage: dict[str, Any] = {"model": "m", "calls": 3, "input_tokens": 70, "output_tokens": 10**40, "failures": 1}
    usage |= {"fallbacks": {"cut_off": 2, "busy": 10**40}}
    digests: list[Any] = [{"usage": usage}, {"usage": "none"}, {}, [], None]
    for digest in digests:
        tally.count(*ended(digest))
    counted = tally.take()[TaskKind.DIGEST]
    assert (counted.completed, counted.model_calls, counted.model_failures) == (5, 3, 1)
    assert (counted.input_tokens, counted.output_tokens) == (70, 10**9)
    assert counted.model_fallbacks == {"cut_off": 2, "busy": 10**9}
    assert tally.take()[TaskKind.DIGEST].completed == 0, "taken once"


def test_the_sample_is_drawn_from_all_tasks() -> None:
    tally, tasks = Tally([TaskKind.DIGEST], Random(1)), [ended() for _ in range(20 * SAMPLE)]
    for task, outcome in tasks:
        tally.count(task, outcome)
    sample = set(tally.take()[TaskKind.DIGEST].sample)
    late = {task.task_id for task, _outcome in tasks[10 * SAMPLE :]}
    assert len(sample) == SAMPLE == 100
    assert len(sample & late) == pytest.approx(SAMPLE / 2, abs=SAMPLE / 5)


def test_snoozed_and_released_tasks_are_not_counted() -> None:
    tally, (task, _completed) = Tally([TaskKind.DIGEST], Random(1)), ended()
    for outcome in (Snoozed(LEASE, "later"), Released()):
        tally.count(task, outcome)
    counted = tally.take()[TaskKind.DIGEST]
    assert (counted.completed, counted.failed, counted.retried, counted.sample) == (0, 0, 0, ())
