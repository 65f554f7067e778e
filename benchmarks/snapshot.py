"""An old snapshot: the queue's rate while an open transaction prevents the removal of dead rows.

Two worker processes claim no-op tasks from a queue that is kept full. After some seconds a transaction opens a
snapshot; the rate of the last seconds is compared with the rate before it. Concurrency is 10, then 100.
"""

import asyncio
from collections import deque
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import asyncpg
import uvloop

from benchmarks.cpu import EmulatorProcesses
from benchmarks.processes import emulator
from benchmarks.queue import CHUNK, EMPTY, create_batch, start
from benchmarks.report import save, show, verdict
from embedded.stack import Ready

BEFORE, HELD, LAST = 10, 60, 10
"""Seconds without the snapshot, with it, and the last seconds of these that are measured."""

FULL = 5_000
AIM = 2 / 3
WAITS = "select exists (select from public.queue where task_id = $1 and worker_id is null)"
ENDS = "select n_tup_upd as n, clock_timestamp() as at from pg_stat_user_tables where relname = 'tasks'"


async def keep_filled(ready: Ready, stop: asyncio.Event) -> None:
    """Create tasks while fewer than `FULL` wait.

    Batches are claimed in order, so it checks by key whether the task created `FULL` tasks ago is claimed. Counting the
    waiting tasks would read every dead row, which costs more than the queue.
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
    """Ended tasks per second, and PostgreSQL's CPU microseconds per task."""
    processes = EmulatorProcesses(database)
    begun, cpu = await database.fetchrow(ENDS), processes.cpu()
    await asyncio.sleep(seconds)
    ended, used = await database.fetchrow(ENDS), processes.cpu().since(cpu)
    tasks = ended["n"] - begun["n"]
    return tasks / (ended["at"] - begun["at"]).total_seconds(), used.postgres / tasks * 1e6


async def with_snapshot(ready: Ready, concurrency: int) -> dict[str, float]:
    """The rate before the snapshot, and at the end of a minute with it."""
    database, old = await asyncpg.connect(ready.database_url), await asyncpg.connect(ready.database_url)
    await database.execute(EMPTY)
    stop = asyncio.Event()
    filling = asyncio.create_task(keep_filled(ready, stop))
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
    """Measure both concurrencies, each on a separate emulator."""
    found = {}
    for concurrency in (10, 100):
        with emulator() as ready:
            found[str(concurrency)] = await with_snapshot(ready, concurrency)
    return found


def main() -> None:
    """Measure, print and save."""
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
        "concurrency",
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
