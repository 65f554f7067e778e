"""How long work blocks the event loop, in CPU seconds of the reference machine, for which the limits were set."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

T = TypeVar("T")
TRIES: Final = 3
_MEASURE: Final = 0.0053
"""Seconds that `_known_work` takes on the reference machine."""


async def longest_hold(work: Callable[[], Awaitable[T]], enough: float) -> tuple[T | Exception, float]:
    """Run `work` beside a task that runs in every loop iteration; returns its result and the longest iteration.

    The shortest of some tries, because other load only adds to it; a try below `enough` seconds is the last.
    """
    best, left = float("inf"), TRIES
    while True:
        with _undisturbed():
            result, hold = await _watched(work())
        best, left = min(best, _compared(hold, enough)), left - 1
        if best < enough or not left:
            return result, best


def shortest(work: Callable[[], object], enough: float) -> float:
    """How long `work` takes that waits for nothing: the shortest of some tries, as above."""
    best = float("inf")
    for _ in range(TRIES):
        with _undisturbed():
            took = _took(work)
        best = min(best, _compared(took, enough))
        if best < enough:
            break
    return best


async def _watched(work: Awaitable[T]) -> tuple[T | Exception, float]:
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    result: T | Exception
    try:
        result = await work
    except Exception as error:  # noqa: BLE001  (it is the result)
        result = error
    await asyncio.sleep(0)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    return result, longest


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without garbage collection, which would visit the objects of a thousand earlier tests."""
    gc.collect(0)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _compared(seconds: float, enough: float) -> float:
    """The time on the reference machine: divided by the slowdown of this machine, if it exceeds the limit."""
    if seconds < enough:
        return seconds
    return seconds / max(1.0, min(_took(_known_work) for _ in range(3)) / _MEASURE)


def _took(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _known_work() -> None:
    words: dict[str, int] = {}
    for number in range(40_000):
        word = str(number % 997)
        words[word] = words.get(word, 0) + 1
