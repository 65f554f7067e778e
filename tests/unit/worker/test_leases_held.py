"""A worker compares the leases in a response with its own: a task that has just ended keeps its outcome."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any, cast
from uuid import uuid4

from app.models.tasks import TaskKind
from app.persistence.outcomes import Completed, Failed, Lease, Outcome
from app.persistence.queue import ClaimedTask, SyncCall, SyncResponse, TaskQueue
from worker.job import Handler, Job
from worker.runner import Worker, WorkerLimits

TASK = ClaimedTask(Lease(uuid4(), uuid4()), TaskKind.FETCH, 1, 5, timedelta(0), None, {})
UNKNOWN = Lease(uuid4(), uuid4())


class Queue:
    """Returns a task, and then the worker's leases after the task has ended meanwhile."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.outcomes: list[Mapping[Lease, Outcome]] = []

    def prepare(self, *, outcomes: Mapping[Lease, Outcome], **_call: Any) -> SyncCall:
        self.outcomes.append(dict(outcomes))
        return SyncCall(len(self.outcomes), {})

    async def sync(self, call: SyncCall) -> SyncResponse:
        if call.number == 1:
            return SyncResponse(1, claimed=(TASK,))
        if call.number == 2:
            await self.ended.wait()
            await asyncio.sleep(0)
            return SyncResponse(2, leases=(TASK.lease, UNKNOWN))
        return SyncResponse(call.number)


async def test_an_outcome_that_waits_is_not_replaced_by_a_failure() -> None:
    queue, released = Queue(), asyncio.Event()

    async def work(_job: Job) -> dict[str, Any]:
        await released.wait()
        queue.ended.set()
        return {"items": 3}

    worker = Worker(
        cast(TaskQueue, queue),
        {TaskKind.FETCH: Handler(work, timedelta(seconds=60))},
        WorkerLimits(5, timedelta(seconds=30), timedelta(0)),
        random=Random(1),
        on_outcome=lambda *_: None,
    )
    await worker.run_once()
    released.set()
    await worker.run_once()
    await worker.run_once()
    sent = queue.outcomes[2]
    assert sent[TASK.lease] == Completed({"items": 3})
    assert isinstance(sent[UNKNOWN], Failed), "a lease that the worker never read is released"
