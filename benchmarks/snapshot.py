"""An old snapshot: the queue's rate while a transaction stays open, so that no dead row can be removed.

Two worker processes take no-op tasks out of a queue that is kept full. After some seconds a snapshot is taken and held;
the rate of the last seconds is compared with the rate before it. Done with 10 and with 100 in hand for each worker.
"""

import asyncio
from collections import deque
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import asyncpg
import uvloop

from benchmarks.cpu import StandInProcesses
from benchmarks.processes import emulator
from benchmarks.queue import CHUNK, EMPTY, create_batch, start
from benchmarks.report import save, show, verdict
from embedded.stack import Ready

BEFORE, HELD, LAST = 10, 60, 10
"""Seconds without the snapshot, with it, and of these the last ones that count."""

FULL = 5_000
AIM = 2 / 3
WAITS = "select exists (select from public.queue where task_id = $1 and worker_id is null)"
ENDS = "select n_tup_upd as n, clock_timestamp() as at from pg_stat_user_tables where relname = 'tasks'"


async def kept_full(ready: Ready, stop: asyncio.Event) -> None:
    """Create tasks as long as fewer than `FULL` wait.

    They are claimed in the order of their batches: the one to be looked at, by its key, is `FULL` tasks old. Counting
    what waits would walk through every dead row, and cost more than the queue does.
    """
    database = await asyncpg.connect(ready.database_url)
    batches: deque[UUID] = deque(maxlen=FULL // CHUNK)
    while not stop.is_set():
        if len(batches) < FULL // CHUNK or not await database.fetchval(WAITS, batches[0]):
            batches.append(await create_batch(database, CHUNK))
        else:
            await asyncio.sleep(0.005)
    await database.close()


async def rate(database: asyncpg.Connection, seconds: float) -> tuple[float, float]:
    """Tasks ended a second, over some seconds, and PostgreSQL's CPU for each in microseconds."""
    processes = StandInProcesses(database)
    begun, cpu = await database.fetchrow(ENDS), processes.cpu()
    await asyncio.sleep(seconds)
    ended, used = await database.fetchrow(ENDS), processes.cpu().since(cpu)
    tasks = ended["n"] - begun["n"]
    return tasks / (ended["at"] - begun["at"]).total_seconds(), used.postgres / tasks * 1e6


async def held(ready: Ready, concurrency: int) -> dict[str, float]:
    """The rate before a snapshot, and at the end of a minute with it."""
    database, old = await asyncpg.connect(ready.database_url), await asyncpg.connect(ready.database_url)
    await database.execute(EMPTY)
    stop = asyncio.Event()
    filling = asyncio.create_task(kept_full(ready, stop))
    with ExitStack() as stack:
        start(stack, "broadsheet", concurrency, ready)
        await asyncio.sleep(3)
        before, cpu_before = await rate(database, BEFORE)
        async with old.transaction(isolation="repeatable_read"):
            await old.fetchval(ENDS)
            await asyncio.sleep(HELD - LAST)
            after, cpu_after = await rate(database, LAST)
        stop.set()
        await filling
    await database.close()
    await old.close()
    costs = {"postgres_us_before": cpu_before, "postgres_us_after": cpu_after}
    return {"before": float(before), "after": float(after), "share": float(after / before)} | costs


async def measure() -> dict[str, Any]:
    """Both concurrencies, each over a emulator of its own."""
    found = {}
    for concurrency in (10, 100):
        with emulator() as ready:
            found[str(concurrency)] = await held(ready, concurrency)
    return found


def main() -> None:
    """Measure, print, write."""
    measured = uvloop.run(measure())
    rows = [
        [
            running_tasks,
            f"{one['before']:,.0f}",
            f"{one['after']:,.0f}",
            f"{one['share']:.2f}",
            verdict(one["share"] > AIM),
            f"{one['postgres_us_before']:.0f}",
            f"{one['postgres_us_after']:.0f}",
        ]
        for running_tasks, one in measured.items()
    ]
    columns = [
        "in hand each",
        "tasks/s before",
        f"after {HELD} s",
        "share (aim 0.67)",
        "",
        "postgres us before",
        "after",
    ]
    show("snapshot: the queue's rate while a snapshot is held open", columns, rows)
    save("snapshot", measured)


if __name__ == "__main__":
    main()
