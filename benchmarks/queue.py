"""The queue: no-op tasks through two worker processes, Broadsheet's over HTTP beside two queues on direct connections.

Workers are started and idle; the tasks then appear in one transaction. The rate is tasks by the seconds from that
commit to the last task's end, both by the database's clock. The pick-up latency is the time from a task's creation to
its claim by one of two idle workers.
"""

import asyncio
import json
import signal
import statistics
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from random import Random
from typing import Any
from uuid import uuid4

import asyncpg
import uvloop
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.queries import Queries

from app.models import TaskKind
from app.persistence.new_task import NewTask
from benchmarks.processes import Child, child, hear, stand_in
from benchmarks.queue_workers import ENTRYPOINT, procrastinate_app
from benchmarks.report import percentile, save, show, verdict
from embedded.stack import Ready

REPEATS = 3
WORKERS = 2
PICK_UPS = 9
AIM_RATE, AIM_PICK_UP_MS = 15_000, 250
AIM_SHARE = 0.56
"""15,000 of the 27,000 tasks a second that pgqueuer does on the machine that the aim was set for."""
CHUNK = 1000


def task_row() -> dict[str, Any]:
    """A task as create_tasks() takes it."""
    return NewTask(uuid4(), TaskKind.FETCH, {}, None).as_row()


async def enqueue_broadsheet(database: asyncpg.Connection, _ready: Ready, count: int) -> None:
    """Tasks of ours."""
    await database.execute("truncate public.tasks, public.queue, public.digests, public.workers, public.calls")
    for begin in range(0, count, CHUNK):
        rows = [task_row() for _ in range(begin, min(begin + CHUNK, count))]
        await database.execute("select public.create_tasks('default', $1, false, null)", json.dumps(rows))


async def enqueue_procrastinate(database: asyncpg.Connection, ready: Ready, count: int) -> None:
    """Jobs of procrastinate's."""
    await database.execute("truncate procrastinate_jobs, procrastinate_events restart identity cascade")
    async with procrastinate_app(ready).open_async() as app:
        for begin in range(0, count, CHUNK):
            await app.tasks[ENTRYPOINT].batch_defer_async(*[{} for _ in range(begin, min(begin + CHUNK, count))])


async def enqueue_pgqueuer(database: asyncpg.Connection, _ready: Ready, count: int) -> None:
    """Jobs of pgqueuer's."""
    await database.execute("truncate pgqueuer, pgqueuer_log")
    await Queries(AsyncpgDriver(database)).enqueue([ENTRYPOINT] * count, [None] * count, [0] * count)


@dataclass(frozen=True)
class Queue:
    """A queue: how its work is put in, and how the database tells that it is done."""

    title: str
    enqueue: Callable[[asyncpg.Connection, Ready, int], Awaitable[None]]
    finished: str
    last_end: str


QUEUES = {
    "broadsheet": Queue(
        "Broadsheet, over HTTP",
        enqueue_broadsheet,
        "select not exists (select from public.queue)",
        "select max(finished_at) from public.tasks",
    ),
    "procrastinate": Queue(
        "procrastinate, direct connection",
        enqueue_procrastinate,
        "select not exists (select from procrastinate_jobs where status in ('todo', 'doing'))",
        "select max(at) from procrastinate_events where type = 'succeeded'",
    ),
    "pgqueuer": Queue(
        "pgqueuer, direct connection",
        enqueue_pgqueuer,
        "select not exists (select from pgqueuer)",
        "select max(created) from pgqueuer_log where status = 'successful'",
    ),
}
RUNS = (
    ("broadsheet", 10, 2_000),
    ("broadsheet", 100, 10_000),
    ("procrastinate", 100, 500),
    ("pgqueuer", 100, 12_000),
)
"""Queue, concurrency of each worker, tasks: as many as take a second or two."""


async def install(database: asyncpg.Connection, ready: Ready) -> None:
    """The rivals' tables, in the same database."""
    await Queries(AsyncpgDriver(database)).install()
    async with procrastinate_app(ready).open_async() as app:
        await app.schema_manager.apply_schema_async()


async def runs(database: asyncpg.Connection, ready: Ready, name: str, concurrency: int, count: int) -> dict[str, float]:
    """Put `count` tasks before two idle workers, `REPEATS` times; medians."""
    queue, rates = QUEUES[name], []
    await queue.enqueue(database, ready, 100)  # a few before, so that imports and plans are not measured
    with ExitStack() as stack:
        workers = start(stack, name, concurrency, ready)
        await until(database, queue.finished)
        for _ in range(REPEATS):
            await queue.enqueue(database, ready, count)
            began = await database.fetchval("select clock_timestamp()")
            await until(database, queue.finished)
            rates.append(count / (await database.fetchval(queue.last_end) - began).total_seconds())
        costs = [stop(worker) for worker in workers]
    done = REPEATS * count
    return {
        "tasks_per_second": statistics.median(rates),
        "calls_per_task": sum(cost["calls"] for cost in costs) / done,
        "cpu_us_per_task": sum(cost["cpu_seconds"] for cost in costs) / done * 1e6,
    }


def start(stack: ExitStack, name: str, concurrency: int, ready: Ready) -> list[Child]:
    """Workers that have said that they are ready."""
    arguments = (name, str(concurrency), json.dumps(asdict(ready)))
    workers = [stack.enter_context(child("benchmarks.queue_workers", *arguments)) for _ in range(WORKERS)]
    for worker in workers:
        assert hear(worker) == "started"
    return workers


def stop(worker: Child) -> dict[str, float]:
    """Ask a worker to end; what it says it cost."""
    worker.send_signal(signal.SIGTERM)
    cost: dict[str, float] = json.loads(hear(worker))
    return cost


async def until(database: asyncpg.Connection, condition: str) -> None:
    """Wait until a query says true."""
    while not await database.fetchval(condition):
        await asyncio.sleep(0.05)


async def pick_ups(database: asyncpg.Connection, ready: Ready) -> list[float]:
    """Milliseconds from creation to claim, for single tasks before two idle workers."""
    await database.execute("truncate public.tasks, public.queue, public.digests, public.workers, public.calls")
    random = Random(7)
    with ExitStack() as stack:
        start(stack, "broadsheet", 10, ready)
        for _ in range(PICK_UPS):
            # Long enough for the workers to be at their longest wait again, and never in step with it.
            await asyncio.sleep(random.uniform(0.6, 0.9))
            await database.execute("select public.create_tasks('default', $1, false, null)", json.dumps([task_row()]))
        await until(database, QUEUES["broadsheet"].finished)
    rows = await database.fetch("select extract(epoch from started_at - created_at) * 1e3 as ms from public.tasks")
    return [float(row["ms"]) for row in rows]


async def measure() -> dict[str, Any]:
    """Every queue in turn, in the same database."""
    # Not durable, for all of them alike: what is compared is the queues, not this machine's disk.
    with stand_in(durable=False) as ready:
        database = await asyncpg.connect(ready.database_url)
        await install(database, ready)
        found = [
            {"queue": name, "concurrency": concurrency, "tasks": count}
            | await runs(database, ready, name, concurrency, count)
            for name, concurrency, count in RUNS
        ]
        latencies = await pick_ups(database, ready)
        await database.close()
    return {"runs": found, "pick_up_ms": {"p50": percentile(latencies, 0.5), "p95": percentile(latencies, 0.95)}}


def main() -> None:
    """Measure, print, write."""
    measured = uvloop.run(measure())
    rows = [
        [
            QUEUES[run["queue"]].title,
            str(run["concurrency"]),
            f"{run['tasks_per_second']:,.0f}",
            f"{run['calls_per_task']:.3f}" if run["calls_per_task"] else "-",
            f"{run['cpu_us_per_task']:,.0f}",
        ]
        for run in measured["runs"]
    ]
    columns = ["queue, two worker processes", "concurrency", "tasks/s", "calls/task", "workers' CPU us/task"]
    show(f"queue: no-op tasks, median of {REPEATS} runs", columns, rows)
    rate, direct = (measured["runs"][place]["tasks_per_second"] for place in (1, 3))
    p50, p95 = measured["pick_up_ms"].values()
    show(
        "queue: aims",
        ["aim", "wanted", "measured", ""],
        [
            ["tasks/s at concurrency 100", f"{AIM_RATE:,}", f"{rate:,.0f}", verdict(rate >= AIM_RATE)],
            [
                "... as a share of pgqueuer's in this run",
                f"{AIM_SHARE}",
                f"{rate / direct:.2f}",
                verdict(rate >= AIM_SHARE * direct),
            ],
            ["pick-up p50, ms", f"{AIM_PICK_UP_MS}", f"{p50:.0f} (p95 {p95:.0f})", verdict(p50 < AIM_PICK_UP_MS)],
        ],
    )
    save("queue", measured)


if __name__ == "__main__":
    main()
