"""Runs one computation per key at a time; all that ask for the key meanwhile share its result."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


@dataclass(slots=True)
class _Flight(Generic[Result]):
    task: "asyncio.Task[Result]"
    waiting: int = 0


class SingleFlight(Generic[Result]):
    """The running computations of a process. Results and errors are shared while they are computed, and not kept."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[Result]] = {}

    def is_running(self, key: str) -> bool:
        """Whether `run` would join a running computation."""
        return key in self._flights

    async def run(self, key: str, compute: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return the result of the running computation of `key`, or start it. Raises what it raises.

        A cancelled caller leaves; the computation continues for the others, and is cancelled when all have left.
        """
        flight = self._flights.get(key) or self._start(key, compute)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._remove(key, flight)
                flight.task.cancel()

    def _start(self, key: str, compute: Callable[[], Coroutine[Any, Any, Result]]) -> _Flight[Result]:
        flight = self._flights[key] = _Flight(asyncio.create_task(compute()))

        def on_end(task: "asyncio.Task[Result]") -> None:
            self._remove(key, flight)
            if not task.cancelled():
                task.exception()  # Mark it as read: if all callers have left, nobody else does.

        flight.task.add_done_callback(on_end)
        return flight

    def _remove(self, key: str, flight: _Flight[Result]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
