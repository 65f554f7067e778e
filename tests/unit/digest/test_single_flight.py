"""Single flight: one computation for all that need its result at the same time."""

import asyncio

import pytest

from app.digest.single_flight import SingleFlight


class Computation:
    """Counts its runs; each waits for `release` and then ends with `outcome`."""

    def __init__(self, outcome: object = "done") -> None:
        self.runs, self.cancelled = 0, 0
        self.started, self.release = asyncio.Event(), asyncio.Event()
        self.outcome = outcome

    async def __call__(self) -> object:
        self.runs += 1
        self.started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def test_simultaneous_callers_share_one_run() -> None:
    flights, compute = SingleFlight[object](), Computation()
    callers = [asyncio.create_task(flights.run("a", compute)) for _ in range(50)]
    other = asyncio.create_task(flights.run("b", compute))
    await compute.started.wait()
    compute.release.set()
    assert await asyncio.gather(*callers, other) == ["done"] * 51
    assert compute.runs == 2


async def test_a_cancelled_first_caller_does_not_fail_others() -> None:
    flights, compute = SingleFlight[object](), Computation()
    first, second = (asyncio.create_task(flights.run("a", compute)) for _ in range(2))
    await compute.started.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    compute.release.set()
    assert await second == "done"
    assert (compute.runs, compute.cancelled) == (1, 0)


async def test_a_run_without_callers_is_cancelled() -> None:
    flights, compute = SingleFlight[object](), Computation()
    callers = [asyncio.create_task(flights.run("a", compute)) for _ in range(2)]
    await compute.started.wait()
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    assert not flights.is_running("a")
    compute.release.set()
    assert await flights.run("a", compute) == "done"
    assert (compute.runs, compute.cancelled) == (2, 1)


async def test_an_error_is_shared_but_not_kept() -> None:
    flights, compute = SingleFlight[object](), Computation(ValueError("no"))
    callers = [asyncio.create_task(flights.run("a", compute)) for _ in range(3)]
    await compute.started.wait()
    compute.release.set()
    assert [type(each) for each in await asyncio.gather(*callers, return_exceptions=True)] == [ValueError] * 3
    compute.outcome = "done"
    assert await flights.run("a", compute) == "done"
    assert compute.runs == 2
