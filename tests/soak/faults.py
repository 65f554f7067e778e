"""The faults of a soak: one after the other at random, and each with everything running again after it."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.soak.programs import Program, children_of, freeze
from tests.soak.system import LEASE, System

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
                # A fault that has begun ends before the soak does: everything runs again afterwards.
                await asyncio.shield(asyncio.ensure_future(fault()))

    def _kinds(self) -> dict[str, Callable[[], Awaitable[object]]]:
        system, first, second = self._system, self._system.workers[0], self._system.workers[1]
        return {
            "a worker killed": lambda: self._restart(second, signal.SIGKILL),
            "a worker asked to end": lambda: self._restart(second, signal.SIGTERM),
            "a worker frozen beyond its lease": self._freeze_worker,
            "the other worker frozen": lambda: first.freeze(self._chance.uniform(*SHORT)),
            "an API killed": lambda: self._restart(system.apis[1], signal.SIGKILL),
            "an API asked to end": lambda: self._restart(system.apis[1], signal.SIGTERM),
            "an API frozen": lambda: system.apis[1].freeze(self._chance.uniform(*LONG)),
            "the gateway killed": self._kill_gateway,
            "the gateway frozen": lambda: system.emulator.freeze(self._chance.uniform(*SHORT)),
            "the database killed": self._kill_database,
            "the database frozen": self._freeze_database,
            "a tenth of the responses lost": self._lose_responses,
            "all sources down": self._close_sources,
            "the database's disk full": self._fill_disk,
            "a one-shot run": lambda: self._run_once("once", signal.SIGTERM),
            "a one-shot run killed": lambda: self._run_once("once", signal.SIGKILL),
        }

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

    async def _kill_gateway(self) -> None:
        await self._system.emulator.end(signal.SIGKILL)
        await self._system.emulator.start()

    async def _kill_database(self) -> None:
        for pid in self._system.database_pids:
            os.kill(pid, signal.SIGKILL)
        await self._system.emulator.ended()
        await self._system.emulator.start()

    async def _fill_disk(self) -> None:
        """PostgreSQL refuses writes, or ends; with space it starts again."""
        if (disk := self._system.disk) is None:
            self.count["the database's disk full"] -= 1
            return
        disk.fill()
        ended = await self._system.emulator.ended_within(self._gap)
        disk.free()
        if ended:
            await self._system.emulator.start()

    async def _freeze_database(self) -> None:
        servers = self._system.database_pids
        await freeze(
            [*servers, *(child for pid in servers for child in children_of(pid))], self._chance.uniform(*SHORT)
        )

    async def _lose_responses(self) -> None:
        self._system.gateway.losing = 0.1
        await asyncio.sleep(self._gap)
        self._system.gateway.losing = 0.0

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
