"""The schedule: creates the digest tasks of ten thousand readers who are due in one minute, in four time zones.

It works over HTTP, as a worker's periodic job does. Figures: calls, seconds, and the CPU time of PostgreSQL.
`--readers` sets another number of readers.
"""

import argparse
import time
from collections import Counter
from typing import Any

import asyncpg
import uvloop

from app.client.factory import open_supabase
from app.client.transport import CallCounters
from app.config import SupabaseSettings
from app.persistence.schedule import BATCH, Schedule
from benchmarks.cpu import seconds_of
from benchmarks.processes import emulator
from benchmarks.report import save, show, verdict
from embedded.stack import Ready

READERS = 10_000
ROUNDS = 3
AIM_CPU_US = 400
PROFILE = '{"interests": ["graph neural networks", "robustness"], "categories": ["cs.LG"], "goals": "Keep up."}'
ZONES = ["Europe/Berlin", "Pacific/Auckland", "America/Los_Angeles", "Australia/Lord_Howe"]
ARRIVE = """
insert into public.readers (name, email, profile, timezone, send_at)
select 'Reader ' || n, 'r' || n || '@example.org', $2::text::jsonb, timezone,
       date_trunc('minute', now() at time zone timezone)::time
  from (select n, ($3::text[])[1 + n % 4] as timezone from generate_series(1, $1) n) r
"""
DUE = "update public.readers set next_due_at = next_due_at - interval '1 day'"


async def backends(database: asyncpg.Connection) -> set[int]:
    """The PostgreSQL processes that serve clients."""
    rows = await database.fetch("select pid from pg_stat_activity where backend_type = 'client backend'")
    return {int(row["pid"]) for row in rows}


async def once(ready: Ready, database: asyncpg.Connection, readers: int) -> dict[str, Any]:
    """Make all readers due, and enqueue their tasks as one worker does."""
    await database.execute("truncate public.readers, public.tasks, public.queue, public.digests cascade")
    await database.execute(ARRIVE, readers, PROFILE, ZONES)
    await database.execute(DUE)
    await database.execute("vacuum analyze public.readers")
    calls: Counter[str] = Counter()
    counters = CallCounters(call=lambda outcome: calls.update([outcome]), attempt=lambda _: None)
    settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
    async with open_supabase(settings, counters=counters) as client:
        await client.rpc("schema_version").execute()
        calls.clear()
        pids = await backends(database)
        cpu, began = sum(map(seconds_of, pids)), time.perf_counter()
        due = await Schedule(client).enqueue_due()
        seconds, used = time.perf_counter() - began, sum(map(seconds_of, pids)) - cpu
    made = await database.fetchval("select count(*) from public.queue")
    assert due == made == readers, (due, made)
    return {"calls": calls.total(), "seconds": seconds, "postgres_cpu_seconds": used}


async def measure(readers: int) -> list[dict[str, Any]]:
    """Measure three times, on one durable emulator."""
    with emulator() as ready:
        database = await asyncpg.connect(ready.database_url)
        try:
            return [await once(ready, database, readers) for _ in range(ROUNDS)]
        finally:
            await database.close()


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=READERS, help="readers who are due in one minute")
    readers = parser.parse_args().readers
    found = uvloop.run(measure(readers))
    rows = [
        [
            str(one["calls"]),
            f"{one['seconds']:.2f}",
            f"{one['postgres_cpu_seconds']:.2f}",
            f"{one['postgres_cpu_seconds'] / readers * 1e6:.0f}",
        ]
        for one in found
    ]
    show(
        f"schedule: {readers:,} readers due in one minute",
        ["calls", "seconds", "PostgreSQL's CPU s", "us a reader"],
        rows,
    )
    best = min(found, key=lambda one: one["postgres_cpu_seconds"])
    cpu_us, aim_calls = best["postgres_cpu_seconds"] / readers * 1e6, readers // BATCH + 2
    aims = [
        ["calls", str(aim_calls), str(best["calls"]), verdict(best["calls"] <= aim_calls)],
        ["PostgreSQL's CPU a reader, us", str(AIM_CPU_US), f"{cpu_us:.0f}", verdict(cpu_us <= AIM_CPU_US)],
    ]
    show("schedule: aims", ["aim", "at most", "measured", ""], aims)
    save("schedule", {"readers": readers, "rounds": found})


if __name__ == "__main__":
    main()
