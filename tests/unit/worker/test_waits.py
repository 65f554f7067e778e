"""How long a worker waits between two calls: short after work, up to the idle wait, less with tasks in hand."""

import asyncio
from collections import deque
from datetime import timedelta
from random import Random
from typing import Any, cast
from uuid import uuid4

import pytest

from app.errors import SupabaseUnavailable
from app.models import TaskKind
from app.persistence.outcomes import Lease
from app.persistence.queue import ClaimedTask, SyncCall, SyncResponse, TaskQueue
from worker.job import Handler, Job
from worker.runner import BUSY_WAIT, SHORT_WAIT, Worker, WorkerLimits
from worker.sync import FIRST_BACKOFF, LONGEST_BACKOFF


class ScriptedQueue:
    """Hands out these claims, one call each, and then nothing."""

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


async def test_an_idle_worker_looks_less_and_less_often_up_to_its_idle_wait() -> None:
    idle = worker(ScriptedQueue(), poll_interval=10)
    waits = [await idle.run_once() for _ in range(12)]
    assert waits[0] <= 2 * SHORT_WAIT
    assert all(5 <= wait <= 10 for wait in waits[-4:])


class Highest(Random):
    """Draws the highest number there is."""

    def random(self) -> float:
        return 1.0


@pytest.mark.parametrize(
    ("poll_interval", "waits"), [(1.0, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]), (0.3, [0.1, 0.2, 0.3, 0.3, 0.3, 0.3])]
)
async def test_the_wait_doubles_with_each_call_in_vain(poll_interval: float, waits: list[float]) -> None:
    idle = worker(ScriptedQueue(), poll_interval, random=Highest())
    assert [await idle.run_once() for _ in waits] == pytest.approx(waits)


async def test_with_a_task_in_hand_the_wait_doubles_up_to_its_own_bound() -> None:
    busy = worker(ScriptedQueue((task(),)), 60, random=Highest())
    assert [await busy.run_once() for _ in range(6)] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.4, 0.4])


async def test_work_makes_it_look_again_at_once() -> None:
    busy = worker(ScriptedQueue(*[()] * 12, (task(),)), poll_interval=10)
    waits = [await busy.run_once() for _ in range(13)]
    assert waits[-1] <= SHORT_WAIT < waits[-2]


async def test_with_a_task_in_hand_it_goes_on_asking_whether_to_cancel_it() -> None:
    busy = worker(ScriptedQueue((task(),)), poll_interval=60)
    waits = [await busy.run_once() for _ in range(12)]
    assert busy.running_tasks == 1
    assert max(waits) <= BUSY_WAIT


async def test_it_calls_three_times_a_lease_at_least_so_that_it_is_seen() -> None:
    idle = worker(ScriptedQueue(), poll_interval=60, lease=timedelta(seconds=9))
    waits = [await idle.run_once() for _ in range(20)]
    assert max(waits) == 3


async def test_a_call_that_is_not_answered_is_sent_again_after_longer_and_longer_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, pauses, sleep = 0, [], asyncio.sleep

    class Away(ScriptedQueue):
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
    await worker(Away(), poll_interval=10).run_once()
    whole = [min(FIRST_BACKOFF * 2**n, LONGEST_BACKOFF) for n in range(8)]
    assert [half <= pause <= 2 * half for half, pause in zip([w / 2 for w in whole], pauses, strict=True)] == [True] * 8
