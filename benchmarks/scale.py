"""Scale: how long a claim takes with a thousand, a hundred thousand and a million other tasks.

The other rows are mostly finished, then mostly delayed, then mostly of another kind; a few hundred are ready. Each
claim takes one of them, over HTTP, from call to response. A no-op call follows each claim: the machine's speed changes
during the minute of this benchmark, so claims are compared as multiples of the no-op call.
"""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import uvloop

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.models.tasks import TaskKind
from app.persistence.queue import TaskQueue
from benchmarks.processes import emulator
from benchmarks.queue import EMPTY, create_batch
from benchmarks.report import percentile, save, show, verdict
from embedded.stack import Ready

SIZES = (1_000, 100_000, 1_000_000)
CLAIMS, WARM_UP = 100, 40
AIM = 1.2

# Sequential ids, so that a million rows are inserted within seconds.
ID = "('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
RECORD = "insert into public.tasks (task_id, kind, request_hash, status, finished_at)"
QUEUED = "insert into public.queue (task_id, kind, priority, run_at, max_attempts)"
SHAPES = {
    "finished": (f"{RECORD} select {ID}, 'digest', '', 'completed', now()",),
    "delayed": (
        f"{RECORD} select {ID}, 'digest', '', null, null",
        f"{QUEUED} select {ID}, 'digest', 1, now() + interval '1 day' + n * interval '1 s', 5",
    ),
    "of another kind": (
        f"{RECORD} select {ID}, 'callback', '', null, null",
        f"{QUEUED} select {ID}, 'callback', 1, now() - n * interval '1 s', 5",
    ),
}
INDEXES = (
    "select indexname, indexdef from pg_indexes where schemaname = 'public' and tablename in ('tasks', 'queue')"
    " and indexname not in (select conname from pg_constraint)"
)


async def fill(database: asyncpg.Pool, inserts: Sequence[str], present: int, size: int) -> None:
    """Insert rows with two connections per table while the indexes are dropped: five times as fast."""
    indexes = await database.fetch(INDEXES)
    for index in indexes:
        await database.execute(f"drop index public.{index['indexname']}")
    middle = (present + size) // 2
    halves = ((present + 1, middle), (middle + 1, size))
    series = [f"from generate_series({first}, {last}) as n" for first, last in halves]
    for insert in inserts:
        await asyncio.gather(*(database.execute(f"{insert} {numbers}") for numbers in series))
    for index in indexes:
        await database.execute(index["indexdef"])


async def timed(call: Awaitable[Any]) -> tuple[float, Any]:
    """The milliseconds of a call, and its result."""
    begin = time.perf_counter()
    answer = await call
    return (time.perf_counter() - begin) * 1e3, answer


async def claims(ready: Ready) -> tuple[list[float], list[float]]:
    """The milliseconds of each of `CLAIMS` claims, and of as many no-op calls, in turns."""
    settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
    took, idle = [], []
    async with open_supabase(settings) as client:
        queue = TaskQueue(client, worker_id=uuid4(), kinds=[TaskKind.DIGEST], lease=timedelta(hours=1))
        for _ in range(WARM_UP + CLAIMS):
            call = queue.prepare(outcomes={}, slots=1)
            milliseconds, answer = await timed(queue.sync(call))
            assert len(answer.claimed) == 1
            took.append(milliseconds)
            idle.append((await timed(client.rpc("schema_version").execute()))[0])
    return took[WARM_UP:], idle[WARM_UP:]


def figures(took: list[float], idle: list[float]) -> dict[str, float]:
    """Milliseconds of claims and of no-op calls; `multiple` is their ratio."""
    p50, empty = percentile(took, 0.5), percentile(idle, 0.5)
    return {"p50_ms": p50, "p95_ms": percentile(took, 0.95), "empty_call_p50_ms": empty, "multiple": p50 / empty}


async def measure() -> list[dict[str, Any]]:
    """Measure every shape at every size, each starting with an empty table."""
    found: list[dict[str, Any]] = []
    # Not durable: a million rows are inserted three times, and claims are only compared with each other.
    with emulator(durable=False) as ready:
        database = await asyncpg.create_pool(ready.database_url, min_size=1, max_size=2)
        # Vacuum only below, while nothing is measured.
        for table in ("tasks", "queue"):
            await database.execute(f"alter table public.{table} set (autovacuum_enabled = off)")
        for shape, inserts in SHAPES.items():
            await database.execute(EMPTY)
            present = 0
            for size in SIZES:
                await fill(database, inserts, present, size)
                present = size
                async with database.acquire() as connection:
                    await create_batch(connection, WARM_UP + CLAIMS, TaskKind.DIGEST)
                await database.execute("vacuum analyze public.tasks, public.queue")
                await asyncio.sleep(0.2)
                found.append({"mostly": shape, "rows": size} | figures(*await claims(ready)))
        await database.close()
    return found


def main() -> None:
    """Measure, print and save."""
    measured = uvloop.run(measure())
    rows, worst = [], 0.0
    for one in measured:
        smallest = next(other for other in measured if other["mostly"] == one["mostly"])
        ratio = one["multiple"] / smallest["multiple"]
        worst = max(worst, ratio)
        values = (one[name] for name in ("p50_ms", "p95_ms", "empty_call_p50_ms", "multiple"))
        rows.append([one["mostly"], f"{one['rows']:,}", *(f"{value:.2f}" for value in values), f"{ratio:.2f}"])
    columns = ["rows mostly", "rows", "claim p50 ms", "p95", "empty call p50", "claim / empty", "x of fewest"]
    show(f"scale: one claim over HTTP, {CLAIMS} each", columns, rows)
    aim = [["worst, as times of the fewest rows", f"{AIM}", f"{worst:.2f}", verdict(worst <= AIM)]]
    show("scale: aim", ["aim", "at most", "measured", ""], aim)
    save("scale", {"claims": measured, "worst_ratio": worst})


if __name__ == "__main__":
    main()
