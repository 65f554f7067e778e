"""A burst goes through the turnstile a few pieces an iteration, in order, and nobody is kept out."""

import asyncio

from app.client.turnstile import Turnstile

PIECES, CALLERS = 4, 41


async def through(turnstile: Turnstile, number: int, passed: list[int]) -> None:
    await turnstile.enter()
    passed.append(number)


async def test_a_burst_passes_in_order_a_few_an_iteration() -> None:
    turnstile, passed = Turnstile(PIECES), list[int]()
    callers = [asyncio.create_task(through(turnstile, number, passed)) for number in range(CALLERS)]
    most, before = 0, 0
    while len(passed) < CALLERS:
        await asyncio.sleep(0)
        most, before = max(most, len(passed) - before), len(passed)
    await asyncio.gather(*callers)
    assert passed == list(range(CALLERS))
    assert most == PIECES


async def test_a_few_pass_at_once() -> None:
    turnstile, passed = Turnstile(PIECES), list[int]()
    for number in range(PIECES):
        await through(turnstile, number, passed)
    assert passed == list(range(PIECES))


async def test_a_caller_that_is_cancelled_takes_nobodys_place() -> None:
    turnstile, passed = Turnstile(PIECES), list[int]()
    callers = [asyncio.create_task(through(turnstile, number, passed)) for number in range(CALLERS)]
    await asyncio.sleep(0)
    for caller in callers[PIECES::2]:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert passed == [number for number in range(CALLERS) if number < PIECES or (number - PIECES) % 2 == 1]


async def test_after_a_burst_the_loop_is_left_alone() -> None:
    turnstile, passed = Turnstile(PIECES), list[int]()
    await asyncio.gather(*(through(turnstile, number, passed) for number in range(CALLERS)))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not turnstile._counting  # noqa: SLF001  (what would keep the loop spinning)
