"""The faults of a soak: one after the other at random, and each with everything running again after it."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from tests.soak.programs import Program
from tests.soak.project import Emulator
from tests.soak.system import LEASE, System
from tests.soak.whole import whole

Fault = Callable[[], Coroutine[Any, Any, object]]

SHORT, LONG = (0.5, LEASE / 3), (LEASE, 1.5 * LEASE)
"""Seconds of a standstill: within a lease, and beyond it."""


class Faults:
    """Injects a fault about every `gap` seconds until cancelled; `count` counts them by name."""

    def __init__(self, system: System, chance: random.Random, gap: float) -> None:
        self._system = system
        self._chance = chance
        self._gap = gap
        self.count: Counter[str] = Counter()

    async def run(self) -> None:
        """Inject faults; each kind comes once before any comes again."""
        while True:
            kinds = list(self._kinds().items())
            self._chance.shuffle(kinds)
            for name, fault in kinds:
                await asyncio.sleep(self._chance.uniform(0, 2 * self._gap))
                self.count[name] += 1
                await whole(fault())  # Everything runs again before the account begins.

    def _kinds(self) -> dict[str, Fault]:
        system, first, second = self._system, self._system.workers[0], self._system.workers[1]
        return self._kinds_of_project() | {
            "a worker killed": lambda: self._restart(second, signal.SIGKILL),
            "a worker asked to end": lambda: self._restart(second, signal.SIGTERM),
            "a worker frozen beyond its lease": self._freeze_worker,
            "the other worker frozen": lambda: first.freeze(self._chance.uniform(*SHORT)),
            "an API killed": lambda: self._restart(system.apis[1], signal.SIGKILL),
            "an API asked to end": lambda: self._restart(system.apis[1], signal.SIGTERM),
            "an API frozen": lambda: system.apis[1].freeze(self._chance.uniform(*LONG)),
            "all sources down": self._close_sources,
            "a one-shot run": lambda: self._run_once("once", signal.SIGTERM),
            "a one-shot run killed": lambda: self._run_once("once", signal.SIGKILL),
        }

    def _kinds_of_project(self) -> dict[str, Fault]:
        """Only an emulator can fail on purpose, and only where a small disk could be mounted can its disk be full."""
        project = self._system.project
        if not isinstance(project, Emulator):
            return {}
        found: dict[str, Fault] = {
            "the gateway killed": project.kill_gateway,
            "the gateway frozen": lambda: project.program.freeze(self._chance.uniform(*SHORT)),
            "the database killed": project.kill_database,
            "the database frozen": lambda: project.freeze_database(self._chance.uniform(*SHORT)),
            "a tenth of the responses lost": lambda: project.lose_responses(self._gap),
        }
        if (disk := project.disk) is not None:
            found["the database's disk full"] = lambda: project.fill_disk(disk, self._gap)
        return found

    async def _restart(self, program: Program, how: signal.Signals) -> None:
        status = await program.end(how)
        if how is signal.SIGTERM and status != 0:
            raise AssertionError(f"{program.name} ended with {status}:\n{program.news()[-2_000:]}")
        await program.start()

    async def _freeze_worker(self) -> None:
        """Its watchdog ends it, because its leases have expired; then a platform starts it again."""
        worker = self._system.workers[1]
        await worker.freeze(self._chance.uniform(*LONG))
        if await worker.ended_within(LEASE):
            await worker.start()

    async def _close_sources(self) -> None:
        self._system.sources.down = True
        await asyncio.sleep(self._gap)
        self._system.sources.down = False

    async def _run_once(self, name: str, how: signal.Signals) -> None:
        """A run for what is due within a second, beside the workers; ended in the middle if it takes long."""
        run = self._system.worker(name, "--once", "--ahead", "1s", "--wait", "5s")
        await run.start()
        try:
            async with asyncio.timeout(self._gap):
                await run.ended()
        except TimeoutError:
            await run.end(how)
