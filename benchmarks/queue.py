"""The queue: no-op tasks through two worker processes: Broadsheet over HTTP, two other queues on direct connections.

The workers are idle when each queue's function creates the tasks in batches. The rate is the number of tasks divided by
the seconds from the last batch's commit to the last task's end, by the database's clock; everything is durable.
The pick-up latency is the time from a task's creation to its claim by one of two idle workers.
"""

import asyncio
import json
import os
import signal
import statistics
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import uvloop
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.queries import Queries

from app.models.tasks import TaskKind
from app.persistence.new_task import NewTask
from benchmarks.cpu import EmulatorProcesses
from benchmarks.processes import Child, child, emulator, read_line
from benchmarks.queue_workers import ENTRYPOINT, procrastinate_app
from benchmarks.report import percentile, save, show, verdict
from embedded.stack import Ready

REPEATS = 3
WORKERS = 2
PICK_UPS = 9
AIM_PICK_UP_MS, AIM_POSTGRES_US, AIM_WORKER_US = 250, 45, 22
AIM_SHARES = (
    ("100 running: share of pgqueuer's rate, also limited to 100", 100, "pgqueuer limited", 1.0),
    ("100 running: share of pgqueuer's rate without a limit", 100, "pgqueuer", 1.0),
    ("10 running: share of pgqueuer's rate, also limited to 10", 10, "pgqueuer limited", 1.0),
    ("10 running: share of pgqueuer's rate without a limit", 10, "pgqueuer", 0.85),
)
"""Name, concurrency, rival and the least share of its rate."""
CHUNK = 500


EMPTY = "truncate public.tasks, public.queue, public.digests, public.workers, public.worker_calls cascade"


async def create_batch(database: asyncpg.Connection, count: int, kind: TaskKind = TaskKind.FETCH) -> UUID:
    """Create tasks as the API does, but over a direct connection; returns the task that is claimed last."""
    ids = [uuid4() for _ in range(count)]
    rows = [NewTask(task_id, kind, {}, None).as_row() for task_id in ids]
    await database.execute("select public.create_tasks('default', $1, false, null)", json.dumps(rows))
    return max(ids)


async def enqueue_broadsheet(database: asyncpg.Connection, _ready: Ready, count: int) -> None:
    """Enqueue our tasks."""
    await database.execute(EMPTY)
    async with database.transaction():
        for begin in range(0, count, CHUNK):
            await create_batch(database, min(CHUNK, count - begin))


async def enqueue_procrastinate(database: asyncpg.Connection, ready: Ready, count: int) -> None:
    """Enqueue procrastinate's jobs."""
    await database.execute("truncate procrastinate_jobs, procrastinate_events restart identity cascade")
    async with procrastinate_app(ready).open_async() as app:
        for begin in range(0, count, CHUNK):
            await app.tasks[ENTRYPOINT].batch_defer_async(*[{} for _ in range(begin, min(begin + CHUNK, count))])


async def enqueue_pgqueuer(database: asyncpg.Connection, _ready: Ready, count: int) -> None:
    """Enqueue pgqueuer's jobs."""
    await database.execute("truncate pgqueuer, pgqueuer_log")
    await Queries(AsyncpgDriver(database)).enqueue([ENTRYPOINT] * count, [None] * count, [0] * count)


@dataclass(frozen=True)
class Queue:
    """A queue: how to enqueue work, and how to find out from the database that it is done."""

    title: str
    enqueue: Callable[[asyncpg.Connection, Ready, int], Awaitable[None]]
    finished: str
    last_end: str


PGQUEUER = Queue(
    "pgqueuer",
    enqueue_pgqueuer,
    "select not exists (select from pgqueuer)",
    "select max(created) from pgqueuer_log where status = 'successful'",
)
QUEUES = {
    "broadsheet": Queue(
        "Broadsheet (HTTP)",
        enqueue_broadsheet,
        "select not exists (select from public.queue)",
        "select max(finished_at) from public.tasks",
    ),
    "procrastinate": Queue(
        "procrastinate",
        enqueue_procrastinate,
        "select not exists (select from procrastinate_jobs where status in ('todo', 'doing'))",
        "select max(at) from procrastinate_events where type = 'succeeded'",
    ),
    "pgqueuer": PGQUEUER,
    "pgqueuer limited": replace(PGQUEUER, title="pgqueuer, limited"),
}
RUNS = (
    ("broadsheet", 10, 10_000),
    ("pgqueuer limited", 10, 10_000),
    ("pgqueuer", 10, 10_000),
    ("broadsheet", 100, 40_000),
    ("pgqueuer limited", 100, 40_000),
    ("pgqueuer", 100, 40_000),
    ("procrastinate", 100, 500),
)
"""Queue, concurrency of each worker, tasks. The tasks take about two seconds, so that the poll interval of an idle
worker, which is measured separately, has little influence. pgqueuer limits its running jobs only with an option."""


async def install(database: asyncpg.Connection, ready: Ready) -> None:
    """Create the rivals' tables in the same database."""
    await Queries(AsyncpgDriver(database)).install()
    async with procrastinate_app(ready).open_async() as app:
        await app.schema_manager.apply_schema_async()


async def runs(database: asyncpg.Connection, ready: Ready, name: str, concurrency: int, count: int) -> dict[str, float]:
    """Give two idle workers `count` tasks, `REPEATS` times; returns medians, and CPU time per task of all processes."""
    queue, rates, processes = QUEUES[name], [], EmulatorProcesses(database)
    await queue.enqueue(database, ready, 100)  # warm up imports and query plans
    creating, working = [], []
    with ExitStack() as stack:
        workers = start(stack, name, concurrency, ready)
        await until(database, queue.finished)
        for _ in range(REPEATS):
            before = processes.cpu()
            await queue.enqueue(database, ready, count)
            began, between = await database.fetchval("select clock_timestamp()"), processes.cpu()
            await until(database, queue.finished)
            rates.append(count / (await database.fetchval(queue.last_end) - began).total_seconds())
            creating.append(between.since(before))
            working.append(processes.cpu().since(between))
        costs = [stop(worker) for worker in workers]
    done = REPEATS * count
    return {
        "tasks_per_second": statistics.median(rates),
        "calls_per_task": sum(cost["calls"] for cost in costs) / done,
        "worker_us": sum(cost["cpu_seconds"] for cost in costs) / done * 1e6,
        "create_us": sum(cpu.postgres for cpu in creating) / done * 1e6,
        "postgres_us": sum(cpu.postgres for cpu in working) / done * 1e6,
        "gateway_us": sum(cpu.gateway for cpu in working) / done * 1e6,
    }


def start(
    stack: ExitStack, name: str, concurrency: int, ready: Ready, variables: Mapping[str, str] | None = None
) -> list[Child]:
    """Start the workers, with additional environment `variables`, and wait until they are ready."""
    arguments = (name, str(concurrency), json.dumps(asdict(ready)))
    env = dict(os.environ) | dict(variables or {})
    workers = [stack.enter_context(child("benchmarks.queue_workers", *arguments, env=env)) for _ in range(WORKERS)]
    for worker in workers:
        assert read_line(worker) == "started"
    return workers


def stop(worker: Child) -> dict[str, float]:
    """Stop a worker; returns the costs that it prints."""
    worker.send_signal(signal.SIGTERM)
    cost: dict[str, float] = json.loads(read_line(worker))
    return cost


async def until(database: asyncpg.Connection, condition: str) -> None:
    """Wait until a query returns true."""
    while not await database.fetchval(condition):
        await asyncio.sleep(0.05)


async def pick_ups(database: asyncpg.Connection, ready: Ready) -> list[float]:
    """Milliseconds from creation to claim, for single tasks and two idle workers."""
    await database.execute(EMPTY)
    random = Random(7)
    with ExitStack() as stack:
        start(stack, "broadsheet", 10, ready)
        for _ in range(PICK_UPS):
            # Long enough for the workers' longest poll interval, and random, so that it never matches that interval.
            await asyncio.sleep(random.uniform(0.6, 0.9))
            await create_batch(database, 1)
        await until(database, QUEUES["broadsheet"].finished)
    rows = await database.fetch("select extract(epoch from started_at - created_at) * 1e3 as ms from public.tasks")
    return [float(row["ms"]) for row in rows]


async def measure() -> dict[str, Any]:
    """Measure every queue in turn, in the same database."""
    with emulator() as ready:
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
    """Measure, print and save."""
    measured = uvloop.run(measure())
    by_name = {(run["queue"], run["concurrency"]): run for run in measured["runs"]}
    columns = [
        "queue, two worker processes",
        "concurrency",
        "tasks/s",
        "calls/task",
        "CPU us/task: workers",
        "gateway",
    ]
    rows = [[QUEUES[name].title, str(running_tasks), *figures(run)] for (name, running_tasks), run in by_name.items()]
    show(
        f"queue: no-op tasks, durable, median of {REPEATS} runs",
        [*columns, "postgres us", "create us"],
        rows,
    )
    ours = by_name["broadsheet", 100]
    postgres, worker = ours["postgres_us"] + ours["create_us"], ours["worker_us"]
    p50, p95 = measured["pick_up_ms"].values()
    aims = [
        *shares({key: run["tasks_per_second"] for key, run in by_name.items()}),
        ["PostgreSQL, us/task", f"{AIM_POSTGRES_US}", f"{postgres:.0f}", verdict(postgres <= AIM_POSTGRES_US)],
        ["workers, us/task", f"{AIM_WORKER_US}", f"{worker:.0f}", verdict(worker <= AIM_WORKER_US)],
        ["pick-up p50, ms", f"{AIM_PICK_UP_MS}", f"{p50:.0f} (p95 {p95:.0f})", verdict(p50 < AIM_PICK_UP_MS)],
    ]
    show("queue: aims", ["aim", "wanted", "measured", ""], aims)
    save("queue", measured)


def shares(rates: Mapping[tuple[str, int], float]) -> list[list[str]]:
    """The rows of `AIM_SHARES`."""
    rows = []
    for name, running, rival, aim in AIM_SHARES:
        share = rates["broadsheet", running] / rates[rival, running]
        rows.append([name, f"{aim}", f"{share:.2f}", verdict(share >= aim)])
    return rows


def figures(run: dict[str, float]) -> list[str]:
    """A run's figures as a table row."""
    costs = [run[name] for name in ("worker_us", "gateway_us", "postgres_us", "create_us")]
    calls = f"{run['calls_per_task']:.3f}" if run["calls_per_task"] else "-"
    return [f"{run['tasks_per_second']:,.0f}", calls, *(f"{cost:,.0f}" for cost in costs)]


if __name__ == "__main__":
    main()
