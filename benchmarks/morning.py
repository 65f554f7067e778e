"""A morning: thousands of readers are due in one minute; workers write their digests and mail them over SMTP.

Real worker processes, the emulator (gateway and durable PostgreSQL), and a mail server that accepts everything.
Figures: seconds until the last mail is accepted, and the CPU time of each kind of process divided by the readers. The
mail server's CPU time is shown, but not counted: it is not part of Broadsheet.
"""

import argparse
import json
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import asyncpg
import uvloop
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.days import utc_today
from app.models.articles import EditionStatus
from app.persistence.editions import Editions
from app.persistence.schedule import Schedule
from benchmarks.cpu import EmulatorProcesses, seconds_of
from benchmarks.digest import INTERESTS, PAPERS, calls_made, edition
from benchmarks.processes import Child, child, emulator, read_line, resident_mb
from benchmarks.queue import until
from benchmarks.report import save, show, verdict
from benchmarks.start import environment, until_answered
from embedded.loopback import free_port
from embedded.stack import Ready

READERS, WORKERS = 10_000, (1, 2)
AIM_CPU_MS = 12.0
SETTINGS = {
    "CONCURRENCY": "24",
    "CALLBACK_SLOTS": "1",
    "MAIL_CONNECTIONS": "8",
    "MAIL_RATE": "1000",
    "MAIL_FROM": "Broadsheet <digest@broadsheet.example>",
    "PUBLIC_URL": "https://digest.example",
    "LINK_SECRET": "0123456789abcdef",
}
ZONES = ["Europe/Berlin", "Pacific/Auckland", "America/Los_Angeles", "Australia/Lord_Howe"]
ARRIVE = """
insert into public.readers (name, email, profile, timezone, send_at)
select 'Reader ' || n, 'r' || n || '@example.org',
       jsonb_build_object('interests', jsonb_build_array(($3::text[])[1 + n % 6], ($3::text[])[1 + n / 6 % 6])),
       timezone, date_trunc('minute', now() at time zone timezone)::time
  from (select n, ($2::text[])[1 + n % 4] as timezone from generate_series(1, $1) n) r
"""
DUE = "update public.readers set next_due_at = next_due_at - interval '1 day'"
SENT = "select status, count(*) as mails from public.deliveries group by 1"
PART = {"workers": "workers", "gateway": "gateway", "postgres": "PostgreSQL"}


async def store_edition(client: AsyncClient) -> None:
    """Store one edition of papers; the days around it were read without finding anything."""
    editions = Editions(client)
    for back in range(4):
        day = utc_today() - timedelta(days=back)
        await editions.begin_edition(day)
        if back == 1:
            await editions.save_articles(day, edition())
        await editions.finish_edition(day, EditionStatus.COMPLETED, {})


async def arrive(database: asyncpg.Connection, readers: int) -> None:
    """Create readers in four time zones who are due now."""
    await database.execute(ARRIVE, readers, ZONES, list(INTERESTS))
    await database.execute(DUE)
    await database.execute("vacuum analyze public.readers")


def start_workers(stack: ExitStack, ready: Ready, mail_port: str, number: int) -> dict[int, Child]:
    """Start workers and wait until they are idle; returns them by the ports of their metrics."""
    env = environment(ready.url, ready.secret_key) | SETTINGS | {"MAIL_URL": f"smtp://127.0.0.1:{mail_port}"}
    workers = {}
    for _ in range(number):
        port = free_port()
        workers[port] = stack.enter_context(child("worker", env=env | {"WORKER_PORT": str(port)}, quiet=True))
    for port in workers:
        until_answered(f"http://127.0.0.1:{port}/healthz")
    return workers


async def morning(readers: int, number: int) -> dict[str, Any]:
    """Mail all readers with `number` workers, on an empty database; returns figures per reader."""
    with ExitStack() as stack:
        ready = stack.enter_context(emulator())
        sink = stack.enter_context(child("benchmarks.mail_sink", str(readers)))
        database = await asyncpg.connect(ready.database_url)
        settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
        async with open_supabase(settings) as client:
            await store_edition(client)
            await arrive(database, readers)
            workers = start_workers(stack, ready, read_line(sink), number)
            processes = EmulatorProcesses(database)

            def worker_cpu() -> float:
                return sum(seconds_of(worker.pid) for worker in workers.values())

            before, emulator_before = worker_cpu(), processes.cpu()
            calls = sum(map(calls_made, workers))
            began = await database.fetchval("select clock_timestamp()")
            await Schedule(client).enqueue_due()
            accepted = json.loads(read_line(sink))
            seconds = (await database.fetchval("select clock_timestamp()") - began).total_seconds()
            await until(database, "select not exists (select from public.queue)")
            used = {"workers": worker_cpu() - before} | vars(processes.cpu().since(emulator_before))
            calls = sum(map(calls_made, workers)) - calls
            ends = {row["status"]: row["mails"] for row in await database.fetch(SENT)}
            memory = max(resident_mb(worker.pid) for worker in workers.values())
        await database.close()
        assert ends == {"sent": readers}, ends
        assert accepted["recipients"] == accepted["mails"] == readers, accepted
        return {
            "workers": number,
            "seconds": seconds,
            "mails_per_second": readers / seconds,
            "mail_kb": accepted["bytes"] / readers / 1e3,
            "calls": calls / readers,
            "cpu_ms": {name: value / readers * 1e3 for name, value in used.items()},
            "total_cpu_ms": sum(used.values()) / readers * 1e3,
            "mail_server_cpu_ms": seconds_of(sink.pid) / readers * 1e3,
            "worker_memory_mb": memory,
        }


def report(readers: int, found: list[dict[str, Any]]) -> None:
    """Print the table and whether the aim was reached."""
    rows = [
        [
            str(one["workers"]),
            f"{one['seconds']:.1f}",
            f"{one['mails_per_second']:.0f}",
            f"{one['calls']:.2f}",
            *(f"{one['cpu_ms'][part]:.2f}" for part in PART),
            f"{one['total_cpu_ms']:.2f}",
            f"{one['mail_server_cpu_ms']:.2f}",
            f"{one['worker_memory_mb']:.0f}",
        ]
        for one in found
    ]
    columns = ["workers", "seconds", "mails/s", "calls", *(f"{part}, ms" for part in PART.values())]
    show(
        f"morning: {readers:,} readers due in one minute, one edition of {PAPERS} papers, mails over SMTP; per reader",
        [*columns, "all, CPU ms", "mail server", "MB"],
        rows,
    )
    for one in found:
        reached = verdict(one["total_cpu_ms"] <= AIM_CPU_MS)
        print(f"{one['workers']} workers: CPU ms a reader in all processes, aim {AIM_CPU_MS:g}: {reached}")


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.morning")
    parser.add_argument("--readers", type=int, default=READERS)
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    options = parser.parse_args()
    found = [uvloop.run(morning(options.readers, number)) for number in options.workers]
    report(options.readers, found)
    save("morning", {"readers": options.readers, "runs": found})


if __name__ == "__main__":
    main()
