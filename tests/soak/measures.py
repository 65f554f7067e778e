"""What the processes that live for the whole soak use: memory, descriptors and connections to the database."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from benchmarks.processes import resident_mb
from tests.soak.programs import Program
from tests.soak.system import System

_CLIENTS = """
select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
"""
EVERY = 5.0
"""Seconds between two samples."""


@dataclass
class Measures:
    """The samples of one process: seconds since its start, and MB of resident memory."""

    program: Program
    memory: list[tuple[float, float]] = field(default_factory=list)

    def slope(self, after: float) -> float:
        """Return the growth in MB per minute since `after` seconds, by least squares; 0 with too few samples."""
        points = [(seconds / 60, size) for seconds, size in self.memory if seconds >= after]
        if len(points) < 3:
            return 0.0
        mean_x = sum(x for x, _ in points) / len(points)
        mean_y = sum(y for _, y in points) / len(points)
        spread = sum((x - mean_x) ** 2 for x, _ in points)
        return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


async def sample(measures: list[Measures]) -> None:
    """Measure memory until cancelled."""
    begun = time.monotonic()
    while True:
        for each in measures:
            each.memory.append((time.monotonic() - begun, resident_mb(each.program.pid)))
        await asyncio.sleep(EVERY)


def descriptors(program: Program) -> int:
    """Return how many files and sockets a process has open."""
    return len(list(Path(f"/proc/{program.pid}/fd").iterdir()))


async def connections(system: System) -> int:
    """Return how many clients are connected to PostgreSQL, without this one."""
    database = await asyncpg.connect(system.project.database_url)
    try:
        return int(await database.fetchval(_CLIENTS))
    finally:
        await database.close()
