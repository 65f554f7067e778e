"""Tasks that wait for a place when a response or a signal ends the wait."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any, cast
from uuid import UUID, uuid4

from app.models.tasks import TaskKind
from app.persistence.outcomes import Completed, Lease, Outcome, Released
from app.persistence.queue import ClaimedTask, SyncCall, SyncResponse, TaskQueue
from worker.job import Handler, Job
from worker.runner import Worker, WorkerLimits

TASKS = tuple(ClaimedTask(Lease(uuid4(), uuid4()), TaskKind.FETCH, 1, 5, timedelta(0), None, {}) for _ in range(3))
FIRST, *OTHERS = (task.lease for task in TASKS)


class Queue:
    """Returns three tasks and, with the second response, the worker's leases."""

    def __init__(self, leases: tuple[Lease, ...] | None = None) -> None:
        self.called, self.may_respond = asyncio.Event(), asyncio.Event()
        self.outcomes: dict[Lease, Outcome] = {}
        self._leases = leases
        self._number = 0

    def prepare(self, *, outcomes: Mapping[Lease, Outcome], **_call: Any) -> SyncCall:
        self._number += 1
        self.outcomes |= outcomes
        return SyncCall(self._number, {})

    async def sync(self, call: SyncCall) -> SyncResponse:
        self.called.set()
        await self.may_respond.wait()
        if call.number == 1:
            return SyncResponse(1, claimed=TASKS)
        return SyncResponse(call.number, leases=self._leases if call.number == 2 else None)


class Work:
    """Tasks that run until the test lets them end."""

    def __init__(self) -> None:
        self.begun: list[UUID] = []
        self.may_end = asyncio.Event()

    async def __call__(self, job: Job) -> dict[str, Any]:
        self.begun.append(job.task.task_id)
        await self.may_end.wait()
        return {}


def worker_of(queue: Queue, work: Work) -> Worker:
    """A worker with one place."""
    return Worker(
        cast(TaskQueue, queue),
        {TaskKind.FETCH: Handler(work, timedelta(seconds=60))},
        WorkerLimits(1, timedelta(seconds=30), grace=timedelta(seconds=30)),
        random=Random(1),
        on_outcome=lambda *_: None,
    )


async def test_a_waiting_task_with_a_lost_lease_never_starts() -> None:
    queue, work = Queue(leases=(FIRST, OTHERS[1])), Work()
    queue.may_respond.set()
    worker = worker_of(queue, work)
    await worker.run_once()
    await worker.run_once()
    work.may_end.set()
    while worker.running_tasks:
        await asyncio.sleep(0)
    await worker.run_once()
    assert work.begun == [FIRST.task_id, OTHERS[1].task_id]
    assert queue.outcomes == {FIRST: Completed({}), OTHERS[1]: Completed({})}


async def test_tasks_claimed_while_it_stops_return_unless_they_run() -> None:
    queue, work, stop = Queue(), Work(), asyncio.Event()
    running = asyncio.create_task(worker_of(queue, work).run(stop))
    await queue.called.wait()
    stop.set()
    await asyncio.sleep(0)
    queue.may_respond.set()
    async with asyncio.timeout(30):
        while len(queue.outcomes) < 2:
            await asyncio.sleep(0.01)
    assert queue.outcomes == dict.fromkeys(OTHERS, Released())
    work.may_end.set()
    await running
    assert (work.begun, queue.outcomes[FIRST]) == ([FIRST.task_id], Completed({}))
