"""A worker claims a task that it has just lost: it has two jobs of one task, distinguished by their leases."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.outcomes import Cancelled, Completed, Lease, Outcome, Released
from app.persistence.queue import ClaimedTask
from app.persistence.tasks import TaskStateManager
from tests.support.proxy import Gate, Proxy
from tests.support.running_worker import StartWorker, until_ended
from tests.support.tasks import Claimer, create, expire_lease
from worker.job import Abort, Handler, Job, perform


class Attempts:
    """A handler whose first two attempts wait until the test lets them end."""

    def __init__(self) -> None:
        self.begun = {1: asyncio.Event(), 2: asyncio.Event()}
        self.may_end = {1: asyncio.Event(), 2: asyncio.Event()}
        self.ended = {1: asyncio.Event(), 2: asyncio.Event()}
        self.cancelled: set[int] = set()

    async def __call__(self, job: Job) -> dict[str, Any]:
        attempt = job.task.attempt
        self.begun[attempt].set()
        try:
            await self.may_end[attempt].wait()
        except asyncio.CancelledError:
            self.cancelled.add(attempt)
            raise
        finally:
            self.ended[attempt].set()
        return {"attempt": attempt}


async def test_a_lost_and_reclaimed_task_is_recorded_once(
    client: AsyncClient, database: asyncpg.Connection, proxy: Proxy, start_worker: StartWorker
) -> None:
    proxy.before = gate = Gate()
    attempts = Attempts()
    worker = await start_worker(attempts, url=proxy.url)
    task = await create(client)
    await attempts.begun[1].wait()
    gate.close()
    await gate.is_blocking.wait()
    peer = Claimer(client)
    await peer.sync()  # a heartbeat, so that this is no outage
    await expire_lease(database, task.task_id)
    await peer.sync()  # its slots are full: it only returns the lost task to the queue
    gate.open()
    # One response brings both: the old lease is lost, and the task is claimed again.
    await attempts.begun[2].wait()
    await attempts.ended[1].wait()
    assert attempts.cancelled == {1}
    while worker.running_tasks > 1:
        await asyncio.sleep(0)
    attempts.may_end[2].set()
    row = await until_ended(database, task.task_id)
    assert (row["status"], row["attempt"], row["result"]) == ("completed", 2, '{"attempt": 2}')
    await worker.stop()
    assert worker.running_tasks == 0
    assert 2 not in attempts.cancelled


@pytest.mark.parametrize(
    ("why", "outcome"),
    [(Abort.SHUTDOWN, Released()), (Abort.CANCEL_REQUESTED, Cancelled()), (Abort.LEASE_LOST, None)],
)
async def test_a_job_cancelled_before_it_starts_has_an_outcome(why: Abort, outcome: Outcome | None) -> None:
    async def never(_job: Job) -> dict[str, Any]:
        raise AssertionError("the job must not run")

    task = ClaimedTask(Lease(uuid4(), uuid4()), TaskKind.FETCH, 1, 5, timedelta(0), None, {})
    job = Job(task, deadline=0.0, on_progress=lambda _lease, _progress: None)
    ended: list[Outcome | None] = []

    async def work() -> None:
        ended.append(await perform(job, Handler(never, timedelta(seconds=1)), Random(1)))

    job.running = asyncio.create_task(work())
    job.cancel(why)
    await job.running
    assert ended == [outcome]


async def test_a_completed_task_stays_completed_after_a_late_cancel(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    begun = asyncio.Event()

    async def finishes(_job: Job) -> dict[str, Any]:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return {"done": True}

    worker = await start_worker(finishes)
    task = await create(client)
    await begun.wait()
    await TaskStateManager(client).cancel_task(task.task_id)
    assert (await until_ended(database, task.task_id))["status"] == "completed"
    assert [type(outcome) for _, outcome in worker.outcomes] == [Completed]
