"""Capacity: what calls cost with a hundred thousand ended tasks and with many more, and what those take to keep.

The tasks are the digests and mails of 31 days. Each call is made over HTTP, and an empty call follows each, because the
machine's speed changes. A call whose lowest time, as a multiple of the lowest empty call, grows with the table is a
fault.
"""

import argparse
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import uvloop
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.errors import SupabaseError
from app.models.tasks import TaskKind, TaskStatus
from app.persistence.deliveries import Deliveries
from app.persistence.maintenance import Maintenance
from app.persistence.new_task import NewTask
from app.persistence.operator import Operator
from app.persistence.operator_tasks import OperatorTasks
from app.persistence.paging import encode_cursor
from app.persistence.queue import TaskQueue
from app.persistence.tasks import TaskStateManager
from benchmarks.capacity_rows import DAYS, fill_tables, sizes
from benchmarks.processes import emulator
from benchmarks.report import percentile, save, show
from benchmarks.scale import timed
from embedded.stack import Ready

FEWEST, MOST = 100_000, 1_000_000
CALLS, WARM_UP, CLAIMED = 40, 10, 40
DEAD_LETTERS = 1_000
Call = Callable[[], Awaitable[Any]]


def number_id(number: int) -> UUID:
    """The id of a task of `capacity_rows`."""
    return UUID(int=(0x4000_8000 << 48) + number)


class Caller:
    """The calls that are measured."""

    def __init__(self, client: AsyncClient, database: asyncpg.Pool, rows: int) -> None:
        self._client, self._database, self._rows, self._number = client, database, rows, 0
        self.tasks, self.operator = TaskStateManager(client), Operator(client)
        self.failures, self.deliveries = OperatorTasks(client), Deliveries(client)
        self._queue = TaskQueue(client, worker_id=uuid4(), kinds=[TaskKind.DIGEST], lease=timedelta(hours=1))

    async def calls(self) -> Mapping[str, Call]:
        """Each call by its name. A page behind the cursor begins in the middle of the table."""
        middle = await self._database.fetchrow(
            "select created_at, task_id from public.tasks where task_id = $1", number_id(self._rows // 2)
        )
        cursor = encode_cursor(middle["created_at"], middle["task_id"])
        lists, day = self.tasks.list_tasks, middle["created_at"].date()
        return {
            "claim of a task": self._claim,
            "status of a task": self._poll,
            "post of 100 tasks": self._post,
            "list: first page": lists,
            "list: a page in the middle": lambda: lists(cursor=cursor),
            "list: completed digests": lambda: lists(kind=TaskKind.DIGEST, status=TaskStatus.COMPLETED),
            "list: failed": lambda: lists(status=TaskStatus.FAILED),
            "list: cancelled": lambda: lists(status=TaskStatus.CANCELLED),
            "list: a day": lambda: lists(source_date=day),
            "list: a day, cancelled": lambda: lists(source_date=day, status=TaskStatus.CANCELLED),
            "deliveries: first page": lambda: self.deliveries.page(None),
            "operators' overview": self.operator.overview,
            "failures": self.failures.list_failures,
            "orphaned tasks": self.operator.orphaned_tasks,
        }

    async def empty(self) -> None:
        """A call that does nothing."""
        await self._client.rpc("schema_version").execute()

    async def _claim(self) -> None:
        answer = await self._queue.sync(self._queue.prepare(outcomes={}, slots=1))
        assert len(answer.claimed) == 1

    async def _poll(self) -> None:
        # Rows all over the table, one after the other.
        self._number += 7919
        await self.tasks.get_task(number_id(self._number * 7919 % self._rows + 1))

    async def _post(self) -> None:
        await self.tasks.create_tasks([NewTask(uuid4(), TaskKind.DIGEST, {}, None) for _ in range(100)])


async def measured(call: Call, empty: Call, calls: int = CALLS) -> dict[str, Any]:
    """Milliseconds of the call and of the empty call, in turns; `error` if it fails, as a statement timeout does."""
    took, idle = [], []
    try:
        for _ in range(WARM_UP + calls):
            took.append((await timed(call()))[0])
            idle.append((await timed(empty()))[0])
            if sum(took) > 30_000:
                break
    except SupabaseError as error:
        return {"error": str(error)[:200]}
    warm = min(WARM_UP, len(took) - 1)
    took, idle = took[warm:], idle[warm:]
    return {
        "lowest_ms": min(took),
        "p50_ms": percentile(took, 0.5),
        "p95_ms": percentile(took, 0.95),
        "empty_call_lowest_ms": min(idle),
        "empty_call_p50_ms": percentile(idle, 0.5),
        "multiple": min(took) / min(idle),
    }


async def retention(client: AsyncClient) -> dict[str, float]:
    """Remove the day beyond the retention: tasks, batch after batch, as a worker does."""
    maintenance, took, removed = Maintenance(client), [], 0
    while True:
        milliseconds, batch = await timed(maintenance.retain(task_days=DAYS - 1, edition_days=90))
        took.append(milliseconds)
        removed += batch.tasks
        if batch.tasks < maintenance.batch:
            break
    return {
        "removed_tasks": removed,
        "calls": len(took),
        "seconds": sum(took) / 1e3,
        "p50_ms": percentile(took, 0.5),
        "longest_ms": max(took),
    }


async def seconds(awaitable: Awaitable[Any]) -> float:
    """The seconds that an operation takes."""
    begin = time.perf_counter()
    await awaitable
    return time.perf_counter() - begin


async def at_size(ready: Ready, database: asyncpg.Pool, present: int, rows: int) -> dict[str, Any]:
    """Fill up the tables, and measure everything."""
    began = time.perf_counter()
    await fill_tables(database, present, rows, dead_letters=DEAD_LETTERS, ready=WARM_UP + CALLS + 20)
    analyzed = await seconds(database.execute("analyze public.tasks"))
    await database.execute("vacuum analyze")
    print(f"{rows:,} rows are there after {time.perf_counter() - began:.0f} s", flush=True)
    settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
    async with open_supabase(settings) as client:
        caller = Caller(client, database, rows)
        calls = {}
        for name, call in (await caller.calls()).items():
            calls[name] = await measured(call, caller.empty)
            print(name, calls[name], flush=True)
        kept = await sizes(database, rows)
        removed = await retention(client)
        print("retention", removed, flush=True)
    vacuumed = await seconds(database.execute("vacuum public.tasks"))
    return {
        "rows": rows,
        "calls": calls,
        "bytes": kept,
        "retention": removed,
        "vacuum_seconds": vacuumed,
        "analyze_seconds": analyzed,
    }


async def measure(most: int) -> list[dict[str, Any]]:
    """Measure with the fewest rows and with the most. Not durable: only the rows' number matters."""
    with emulator(durable=False) as ready:
        database = await asyncpg.create_pool(ready.database_url, min_size=1, max_size=2, command_timeout=3600)
        await database.execute("alter table public.tasks set (autovacuum_enabled = off)")
        few = await at_size(ready, database, 0, FEWEST)
        await database.execute("truncate public.tasks, public.queue, public.deliveries cascade")
        many = await at_size(ready, database, 0, most)
        await database.close()
    return [few, many]


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=MOST, help="ended tasks of the larger table")
    few, many = uvloop.run(measure(parser.parse_args().rows))
    rows = []
    for name, one in many["calls"].items():
        before, failed = few["calls"][name], one.get("error") or few["calls"][name].get("error")
        if failed:
            rows.append([name, failed[:60], "", "", "", ""])
            continue
        figures = (
            before["lowest_ms"],
            one["lowest_ms"],
            one["p50_ms"],
            one["p95_ms"],
            one["multiple"] / before["multiple"],
        )
        rows.append([name, *(f"{value:.2f}" for value in figures)])
    columns = ["call, ms", f"lowest, {few['rows']:,}", f"lowest, {many['rows']:,}", "p50", "p95", "x of fewest"]
    show("capacity: calls with many ended tasks", columns, rows)
    kept = [
        [
            name,
            *(str(one["retention"][name]) if name in one["retention"] else f"{one[name]:.1f}" for one in (few, many)),
        ]
        for name in ("removed_tasks", "calls", "seconds", "p50_ms", "longest_ms", "vacuum_seconds", "analyze_seconds")
        if name in few["retention"] or name != "calls"
    ]
    kept += [
        [f"bytes per row: {name}", f"{few['bytes'][name]:.0f}", f"{many['bytes'][name]:.0f}"] for name in many["bytes"]
    ]
    show("capacity: a day's retention, vacuum and size", ["figure", f"{few['rows']:,}", f"{many['rows']:,}"], kept)
    save("capacity", {"sizes": [few, many]})


if __name__ == "__main__":
    main()
