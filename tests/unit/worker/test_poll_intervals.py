"""How long a worker waits between two calls: short after work, up to the poll interval, less with running tasks."""

import asyncio
from collections import deque
from datetime import timedelta
from random import Random
from typing import Any, cast
from uuid import uuid4

import pytest

from app.errors import SupabaseUnavailable
from app.models.tasks import TaskKind
from app.persistence.outcomes import Lease
from app.persistence.queue import ClaimedTask, SyncCall, SyncResponse, TaskQueue
from worker.job import Handler, Job
from worker.runner import BUSY_WAIT, SHORT_WAIT, Worker, WorkerLimits
from worker.sync_calls import FIRST_BACKOFF, LONGEST_BACKOFF


class ScriptedQueue:
    """Returns these claims, one per call, and then none."""

    def __init__(self, *claims: tuple[ClaimedTask, ...]) -> None:
        self._claims = deque(claims)

    def prepare(self, **_call: Any) -> SyncCall:
        return SyncCall(1, {})

    async def sync(self, _call: SyncCall) -> SyncResponse:
        claimed = self._claims.popleft() if self._claims else ()
        return SyncResponse(1, claimed=claimed)


def task() -> ClaimedTask:
    return ClaimedTask(Lease(uuid4(), uuid4()), TaskKind.FETCH, 1, 5, timedelta(0), None, {})


def worker(
    queue: ScriptedQueue, poll_interval: float, lease: timedelta = timedelta(hours=1), *, random: Random | None = None
) -> Worker:
    async def endless(_job: Job) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    return Worker(
        cast(TaskQueue, queue),
        {TaskKind.FETCH: Handler(endless, timedelta(seconds=60))},
        WorkerLimits(5, lease, timedelta(0), timedelta(seconds=poll_interval)),
        random=random or Random(3),
        on_outcome=lambda *_: None,
    )


async def test_an_idle_worker_polls_less_often_up_to_the_interval() -> None:
    idle = worker(ScriptedQueue(), poll_interval=10)
    waits = [await idle.run_once() for _ in range(12)]
    assert waits[0] <= 2 * SHORT_WAIT
    assert all(5 <= wait <= 10 for wait in waits[-4:])


class Highest(Random):
    """A random generator that returns the highest number."""

    def random(self) -> float:
        return 1.0


@pytest.mark.parametrize(
    ("poll_interval", "waits"), [(1.0, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]), (0.3, [0.1, 0.2, 0.3, 0.3, 0.3, 0.3])]
)
async def test_the_wait_doubles_after_each_empty_call(poll_interval: float, waits: list[float]) -> None:
    idle = worker(ScriptedQueue(), poll_interval, random=Highest())
    assert [await idle.run_once() for _ in waits] == pytest.approx(waits)


async def test_with_a_running_task_the_wait_has_a_lower_limit() -> None:
    busy = worker(ScriptedQueue((task(),)), 60, random=Highest())
    assert [await busy.run_once() for _ in range(6)] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.4, 0.4])


async def test_after_work_the_next_call_is_immediate() -> None:
    busy = worker(ScriptedQueue(*[()] * 12, (task(),)), poll_interval=10)
    waits = [await busy.run_once() for _ in range(13)]
    assert waits[-1] <= SHORT_WAIT < waits[-2]


async def test_with_a_running_task_it_keeps_checking_cancellation() -> None:
    busy = worker(ScriptedQueue((task(),)), poll_interval=60)
    waits = [await busy.run_once() for _ in range(12)]
    assert busy.running_tasks == 1
    assert max(waits) <= BUSY_WAIT


async def test_it_calls_at_least_three_times_per_lease() -> None:
    idle = worker(ScriptedQueue(), poll_interval=60, lease=timedelta(seconds=9))
    waits = [await idle.run_once() for _ in range(20)]
    assert max(waits) == 3


async def test_a_failed_call_is_repeated_with_growing_delays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, pauses, sleep = 0, [], asyncio.sleep

    class UnreachableQueue(ScriptedQueue):
        async def sync(self, call: SyncCall) -> SyncResponse:
            nonlocal calls
            calls += 1
            if calls <= 8:
                raise SupabaseUnavailable("away")
            return await super().sync(call)

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    await worker(UnreachableQueue(), poll_interval=10).run_once()
    whole = [min(FIRST_BACKOFF * 2**n, LONGEST_BACKOFF) for n in range(8)]
    assert [half <= pause <= 2 * half for half, pause in zip([w / 2 for w in whole], pauses, strict=True)] == [True] * 8
