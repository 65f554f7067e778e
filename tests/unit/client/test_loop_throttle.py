"""A burst passes the throttle in order, a few calls per loop iteration."""

import asyncio
import itertools

import pytest

from app.client.loop_throttle import LoopThrottle

PIECES, CALLERS = 4, 41


async def through(throttle: LoopThrottle, number: int, passed: list[int]) -> None:
    await throttle.enter()
    passed.append(number)


async def test_a_burst_passes_in_order_a_few_per_iteration() -> None:
    throttle, passed = LoopThrottle(PIECES), list[int]()
    callers = [asyncio.create_task(through(throttle, number, passed)) for number in range(CALLERS)]
    counts = [0]
    while len(passed) < CALLERS:
        await asyncio.sleep(0)
        counts.append(len(passed))
    await asyncio.gather(*callers)
    assert passed == list(range(CALLERS))
    each = [after - before for before, after in itertools.pairwise(counts) if after > before]
    assert each == [PIECES] * (CALLERS // PIECES) + [CALLERS % PIECES]


@pytest.mark.parametrize(("throttle", "pieces"), [(LoopThrottle(PIECES), PIECES), (LoopThrottle(), 8)])
async def test_a_few_pass_at_once_and_the_next_waits(throttle: LoopThrottle, pieces: int) -> None:
    for _ in range(pieces):
        with pytest.raises(StopIteration):
            throttle.enter().send(None)
    waits = throttle.enter()
    waits.send(None)
    waits.close()


async def test_a_cancelled_caller_uses_no_slot() -> None:
    throttle, passed = LoopThrottle(PIECES), list[int]()
    callers = [asyncio.create_task(through(throttle, number, passed)) for number in range(CALLERS)]
    await asyncio.sleep(0)
    for caller in callers[PIECES::2]:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert passed == [number for number in range(CALLERS) if number < PIECES or (number - PIECES) % 2 == 1]


async def test_after_a_burst_no_callback_is_scheduled() -> None:
    throttle, passed = LoopThrottle(PIECES), list[int]()
    await asyncio.gather(*(through(throttle, number, passed) for number in range(CALLERS)))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not throttle._counting  # noqa: SLF001  (what would keep the loop spinning)
