"""The registry and the common parts of the scenarios of `test_repeated_writes.py`."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.outcomes import Lease
from app.persistence.queue import SyncCall, TaskQueue
from tests.support.tasks import LEASE

Scenario = Callable[[AsyncClient, int], Awaitable[object]]
"""Makes calls with the client, each write `times` times."""

TASK = UUID("00000000-0000-4000-8000-00000000000a")
OTHER = UUID("00000000-0000-4000-8000-00000000000b")
WORKER = UUID("00000000-0000-4000-8000-0000000000aa")
REGISTERED: dict[str, Scenario] = {}


def scenario(*names: str) -> Callable[[Scenario], Scenario]:
    def register(function: Scenario) -> Scenario:
        REGISTERED.update(dict.fromkeys(names, function))
        return function

    return register


async def send(queue: TaskQueue, call: SyncCall, times: int) -> Any:
    answers = [await queue.sync(call) for _ in range(times)]
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


async def claimed(client: AsyncClient, times: int = 1) -> tuple[TaskQueue, Lease]:
    queue = TaskQueue(client, worker_id=WORKER, kinds=[TaskKind.FETCH], lease=LEASE)
    answer = await send(queue, queue.prepare(outcomes={}, slots=1), times)
    return queue, answer.claimed[0].lease
