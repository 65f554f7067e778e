"""No pause between two sync calls is longer than the lease allows, whatever the reason for the pause."""

import asyncio
from datetime import timedelta
from random import Random
from typing import Any, cast

import pytest

from app.errors import SupabaseRejected, SupabaseUnavailable, UnreadableResponse
from app.persistence.queue import SyncCall, SyncResponse, TaskQueue
from worker.runner import Worker, WorkerLimits
from worker.sync_calls import Slots, Syncer
from worker.watchdog import Watchdog

LEASES = [timedelta(seconds=seconds) for seconds in (1, 3, 12, 29)]
REASONS: list[Exception] = [
    SupabaseUnavailable("away"),
    UnreadableResponse("half a response"),
    SupabaseRejected("refused", code="22000"),
]
FAILURES = 12


class Highest(Random):
    """Draws the highest number."""

    def random(self) -> float:
        return 1.0


class FailingQueue:
    """Fails `FAILURES` calls, then responds."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._failures = FAILURES

    def prepare(self, **_call: Any) -> SyncCall:
        return SyncCall(1, {})

    def without_claims(self, call: SyncCall) -> SyncCall:
        return call

    async def sync(self, _call: SyncCall) -> SyncResponse:
        if self._failures:
            self._failures -= 1
            raise self._error
        return SyncResponse(1)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The requested pauses in seconds; none takes time."""
    made: list[float] = []
    sleep = asyncio.sleep

    async def recorded(seconds: float) -> None:
        made.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", recorded)
    return made


@pytest.mark.parametrize("error", REASONS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("lease", LEASES, ids=str)
async def test_a_pause_before_a_repeated_call_is_a_sixth_of_a_lease(
    lease: timedelta, error: Exception, pauses: list[float]
) -> None:
    queue = cast(TaskQueue, FailingQueue(error))
    await Syncer(queue, Highest(), Watchdog(), lease).sync({}, {}, Slots(1))
    assert len(pauses) == FAILURES
    assert max(pauses) == pytest.approx(lease.total_seconds() / 6)


@pytest.mark.parametrize("next_task_seconds", [None, 3600.0])
@pytest.mark.parametrize("lease", LEASES, ids=str)
async def test_an_idle_pause_is_a_third_of_a_lease_at_most(lease: timedelta, next_task_seconds: float | None) -> None:
    class Idle(FailingQueue):
        async def sync(self, _call: SyncCall) -> SyncResponse:
            return SyncResponse(1, next_task_seconds=next_task_seconds)

    worker = Worker(
        cast(TaskQueue, Idle(REASONS[0])),
        {},
        WorkerLimits(5, lease, timedelta(0), timedelta(hours=1)),
        random=Highest(),
        on_outcome=lambda *_: None,
    )
    waits = [await worker.run_once() for _ in range(20)]
    assert max(waits) == pytest.approx(lease.total_seconds() / 3)
