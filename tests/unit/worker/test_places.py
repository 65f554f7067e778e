"""How many tasks a worker claims ahead, and which of the waiting ones it starts."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from uuid import uuid4

import pytest

from app.models.tasks import TaskKind
from app.persistence.outcomes import Lease
from app.persistence.queue import ClaimedTask
from worker.job import Abort, Job
from worker.places import ROUNDS, SHORT_TASK, Places
from worker.sync_calls import Slots

DIGEST, CALLBACK = TaskKind.DIGEST, TaskKind.CALLBACK
SHORT, LONG = SHORT_TASK / 2, SHORT_TASK * 2


class Held:
    """The tasks that a worker holds, in their places."""

    def __init__(self, total: int, of_kind: Mapping[TaskKind, int] | None = None) -> None:
        self.places = Places(total, of_kind or {})
        self.jobs: list[Job] = []
        self.running: list[Job] = []

    def claim(self, count: int, kind: TaskKind = CALLBACK) -> int:
        """Add tasks and start those that have a place; returns the number of tasks that run then."""
        for _ in range(count):
            task = ClaimedTask(Lease(uuid4(), uuid4()), kind, 1, 5, timedelta(0), None, {})
            self.jobs.append(Job(task, 0.0, lambda *_: None))
            self.places.add(self.jobs[-1])
        return self.start()

    def start(self) -> int:
        while (job := self.places.next_job()) is not None:
            self.begin(job)
        return self.places.running

    def begin(self, job: Job) -> None:
        job.running = asyncio.get_running_loop().create_task(asyncio.sleep(0))
        self.places.enter(job)
        self.running.append(job)

    def end(self, count: int, seconds: float = SHORT) -> None:
        for _ in range(count):
            job = self.running.pop(0)
            self.jobs.remove(job)
            self.places.leave(job, seconds)
            self.start()

    def slots(self) -> Slots:
        return self.places.slots(self.jobs)


async def test_short_tasks_in_all_places_allow_twice_as_many() -> None:
    held, claims = Held(5), []
    for _ in range(5):
        claims.append(held.slots().total)
        assert held.claim(claims[-1]) == 5
        held.end(claims[-1])
    assert claims == [5, 10, 20, 5 * ROUNDS, 5 * ROUNDS]


@pytest.mark.parametrize("ended", [[SHORT] * 4, [SHORT] * 4 + [LONG]], ids=["too few", "a long one"])
async def test_nothing_is_claimed_ahead_without_enough_short_tasks(ended: list[float]) -> None:
    held = Held(5)
    held.claim(5)
    for seconds in ended:
        held.end(1, seconds)
    assert held.slots().total == len(ended)


async def test_only_tasks_since_the_last_call_count() -> None:
    held = Held(5)
    held.claim(5)
    held.end(5)
    assert [held.slots().total for _ in range(2)] == [10, 5]


async def test_cancelled_tasks_are_no_short_tasks() -> None:
    held = Held(5)
    held.claim(5)
    for job in held.jobs:
        job.abort = Abort.NO_PLACE
    held.end(5)
    assert held.slots().total == 5


async def test_waiting_tasks_of_a_kind_use_no_slots_of_another() -> None:
    held = Held(10, {CALLBACK: 3, DIGEST: 7})
    held.claim(3)
    held.end(3)
    assert held.slots() == Slots(13, {CALLBACK: 6, DIGEST: 7})
    assert held.claim(6) == 3
    assert held.slots() == Slots(7, {CALLBACK: 0, DIGEST: 7})
    assert held.claim(7, DIGEST) == 10
    assert held.slots() == Slots(0, {CALLBACK: 0, DIGEST: 0})


async def test_a_waiting_task_takes_a_place_of_the_same_kind() -> None:
    held = Held(10, {CALLBACK: 1, DIGEST: 2})
    held.claim(3)
    assert held.claim(1, DIGEST) == 2
    first, second, third = (job for job in held.jobs if job.task.kind is CALLBACK)
    assert first in held.running
    held.end(1)
    assert [job in held.running for job in (second, third)] == [True, False]
    assert held.places.running == 2


async def test_a_task_cancelled_while_it_waits_starts_once() -> None:
    held = Held(1)
    held.claim(3)
    held.begin(held.jobs[1])
    held.end(2)
    assert (held.running, held.jobs) == ([held.jobs[0]], [held.jobs[0]])
