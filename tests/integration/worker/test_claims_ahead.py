"""Tasks that a worker claims ahead: they start in order, or return to the queue without an attempt."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from supabase import AsyncClient

import worker.places
import worker.runner
from app.models.tasks import TaskKind
from app.persistence.outcomes import Released
from app.persistence.tasks import TaskStateManager
from tests.support.proxy import Proxy
from tests.support.running_worker import PATIENCE, RunningWorker, StartWorker, until, until_ended, until_status
from tests.support.tasks import insert_tasks
from worker.job import Job

STATES = (
    "select array[count(*) filter (where status = 'completed'), count(*) filter (where status = 'running'),"
    " count(*) filter (where status = 'pending')] = $1::bigint[] from public.task_records"
)


@pytest.fixture(autouse=True)
def all_tasks_count_as_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the speed of the machine."""
    monkeypatch.setattr(worker.places, "SHORT_TASK", 3600)


class FirstShort:
    """Tasks with the payload {} end at once; the others run until the test lets them end."""

    def __init__(self) -> None:
        self.begun: list[UUID] = []
        self.may_end = asyncio.Event()

    async def __call__(self, job: Job) -> dict[str, Any]:
        if job.task.payload:
            self.begun.append(job.task.task_id)
            await self.may_end.wait()
        return {}


async def insert_short_then_long(database: asyncpg.Connection) -> None:
    """Insert two short tasks, and four long ones after them."""
    await insert_tasks(database, 2, delay="-1 minute")
    await insert_tasks(database, 4, payload='{"long": true}')


async def two_run_two_wait(database: asyncpg.Connection, start_worker: StartWorker) -> tuple[RunningWorker, FirstShort]:
    """A worker with two places that has claimed the four long tasks."""
    work = FirstShort()
    await insert_short_then_long(database)
    running = await start_worker(work, concurrency=2, grace=PATIENCE)
    await until(database, STATES, [2, 4, 0])
    async with asyncio.timeout(PATIENCE):
        while len(work.begun) < 2:
            await asyncio.sleep(0.01)
    return running, work


@pytest.fixture
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks may wait for a place for an hour."""
    monkeypatch.setattr(worker.runner, "WAIT_LIMIT", 3600)


@pytest.mark.parametrize(("kind_slots", "places"), [(None, 5), ({TaskKind.FETCH: 2}, 2)], ids=["total", "of the kind"])
async def test_short_tasks_are_claimed_ahead_but_run_in_places(
    kind_slots: Mapping[TaskKind, int] | None,
    places: int,
    database: asyncpg.Connection,
    proxy: Proxy,
    start_worker: StartWorker,
) -> None:
    running, most = 0, 0

    async def short(_job: Job) -> dict[str, Any]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return {}

    await insert_tasks(database, 80)
    await start_worker(short, url=proxy.url, concurrency=5, kind_slots=kind_slots)
    await until_status(database, "completed", 80)
    assert most == places
    claims = {call.body["p_number"]: call.body["p_limits"][0] for call in proxy.calls if call.claims}
    assert list(claims.values())[:2] == [places, 2 * places]
    assert max(claims.values()) <= places * worker.places.ROUNDS
    assert await database.fetchval("select max(attempt) from public.tasks") == 1


async def test_tasks_behind_long_ones_return_to_other_workers(
    database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    work, other = FirstShort(), FirstShort()
    await insert_short_then_long(database)
    busy = await start_worker(work, concurrency=2)
    async with asyncio.timeout(PATIENCE):
        while sum(isinstance(outcome, Released) for _, outcome in busy.outcomes) < 2:
            await asyncio.sleep(0.01)
    await until(database, STATES, [2, 2, 2])
    other.may_end.set()
    await start_worker(other, concurrency=2)
    await until(database, STATES, [4, 2, 0])
    work.may_end.set()
    await until(database, STATES, [6, 0, 0])
    assert (len(work.begun), len(other.begun), len({*work.begun, *other.begun})) == (2, 2, 4)
    assert await database.fetchval("select array_agg(distinct attempt) from public.tasks") == [1]


@pytest.mark.usefixtures("long_waits")
async def test_sigterm_releases_waiting_tasks_before_others_end(
    database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    running, work = await two_run_two_wait(database, start_worker)
    ending = running.begin_to_stop()
    await until(database, STATES, [2, 2, 2])
    assert await database.fetchval("select array_agg(attempt order by attempt) from public.queue") == [0, 0, 1, 1]
    work.may_end.set()
    await ending
    await until(database, STATES, [4, 0, 2])
    assert len(work.begun) == 2


@pytest.mark.usefixtures("long_waits")
async def test_a_waiting_task_does_not_count_as_running(
    database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    running, work = await two_run_two_wait(database, start_worker)
    assert running.worker is not None
    assert (running.running_tasks, running.worker.health().running_tasks) == (2, 2)
    work.may_end.set()
    await until(database, STATES, [6, 0, 0])
    assert len(work.begun) == 4


@pytest.mark.usefixtures("long_waits")
async def test_a_waiting_task_is_cancelled_without_a_start(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    _, work = await two_run_two_wait(database, start_worker)
    cancelled: UUID = await database.fetchval(
        "select task_id from public.queue where task_id <> all ($1) order by task_id limit 1", work.begun
    )
    await TaskStateManager(client).cancel_task(cancelled)
    assert (await until_ended(database, cancelled))["status"] == "cancelled"
    work.may_end.set()
    await until_status(database, "completed", 5)
    assert cancelled not in work.begun
