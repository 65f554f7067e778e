"""A reader's day: the rows and bytes that a scheduled digest and its mail add to each table, indexes included.

A worker writes and mails one digest to each of a thousand readers, from an edition of 500 papers, into a folder.
docs/CAPACITY.md multiplies these figures with readers and retention times.
"""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.models.articles import EditionStatus
from app.persistence.editions import Editions
from benchmarks.capacity import seconds
from benchmarks.cpu import EmulatorProcesses, seconds_of
from benchmarks.digest import INTERESTS, calls_made, edition
from benchmarks.processes import child, emulator, scratch_folder
from benchmarks.queue import until
from benchmarks.report import save, show
from benchmarks.start import environment, until_answered
from embedded.loopback import free_port
from embedded.stack import Ready

READERS = 1_000
TABLES = (
    "tasks",
    "digests",
    "archived_items",
    "deliveries",
    "shown_items",
    "shown_digests",
    "readers",
    "readers_private",
)
ARRIVE = """
insert into public.readers (name, email, profile, timezone, send_at)
select 'Reader ' || n, 'r' || n || '@example.org',
       jsonb_build_object('interests', jsonb_build_array(i[1 + n % 6], i[1 + n / 6 % 6])), 'UTC',
       date_trunc('minute', now() at time zone 'UTC')::time
  from generate_series(1, $1) n cross join (select $2::text[] as i) i
"""
DUE = "update public.readers set next_due_at = next_due_at - interval '1 day'"
SIZES = """
select c.relname as name, pg_total_relation_size(c.oid)::float8 as bytes,
       pg_indexes_size(c.oid)::float8 as index_bytes, c.reltuples::float8 as rows
  from pg_class c where c.relnamespace = 'public'::regnamespace and c.relname = any ($1)
"""
WRITTEN = "select pg_wal_lsn_diff(pg_current_wal_lsn(), $1::pg_lsn)::float8"
ENDED = "select count(*) = $1 from public.deliveries where status in ('sent', 'skipped')"


async def sizes(database: asyncpg.Connection) -> dict[str, dict[str, float]]:
    """Rows, bytes with indexes, and bytes of indexes of each table."""
    found = await database.fetch(SIZES, TABLES)
    return {row["name"]: {what: row[what] for what in ("rows", "bytes", "index_bytes")} for row in found}


def size_of_mails(folder: Path) -> list[int]:
    """The bytes of each mail in the folder."""
    return [path.stat().st_size for path in folder.rglob("*.eml")]


async def removal_ms(database: asyncpg.Connection) -> dict[str, float]:
    """The milliseconds that retention takes for a digest with its archive, and for the shown items of a digest."""
    await database.execute("update public.digests set created_at = now() - interval '9 days' where true")
    await database.execute("update public.shown_items set shown_at = now() - interval '200 days' where true")
    digests = await seconds(database.execute("select public.prune_digests(5, $1)", READERS))
    shown = await seconds(database.execute("select public.prune_shown_items(90, 1000000)"))
    return {"digest_removal_ms": digests * 1e3 / READERS, "shown_items_removal_ms": shown * 1e3 / READERS}


async def prepare(ready: Ready, database: asyncpg.Connection) -> None:
    """Store today's edition and the readers, who are due now."""
    settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
    day = await database.fetchval("select (now() at time zone 'UTC')::date - 1")
    async with open_supabase(settings) as client:
        editions = Editions(client)
        await editions.begin_edition(day)
        await editions.save_articles(day, edition())
        await editions.finish_edition(day, EditionStatus.COMPLETED, {})
    await database.execute(ARRIVE, READERS, list(INTERESTS))
    await database.execute(DUE)
    await database.execute("vacuum full analyze")


async def measure() -> dict[str, Any]:
    """Let one worker write and mail all digests."""
    with emulator() as ready, scratch_folder() as folder:
        database = await asyncpg.connect(ready.database_url)
        await prepare(ready, database)
        before, port = await sizes(database), free_port()
        settings = {"SUPABASE_KEY": ready.secret_key, "WORKER_PORT": str(port), "MAIL_URL": f"folder:{folder}"}
        settings |= {"MAIL_FROM": "Broadsheet <digests@example.org>", "PUBLIC_URL": "https://example.org"}
        settings |= {"LINK_SECRET": "benchmark-secret-0123456789abcdefghij", "CONCURRENCY": "20"}
        with child("worker", env=environment(ready.url) | settings) as worker:
            until_answered(f"http://127.0.0.1:{port}/healthz")
            processes = EmulatorProcesses(database)
            cpu, others, calls = seconds_of(worker.pid), processes.cpu(), calls_made(port)
            wal = await database.fetchval("select pg_current_wal_lsn()")
            while not await database.fetchval(ENDED, READERS):
                await asyncio.sleep(0.1)
            await until(database, "select not exists (select from public.queue)")
            cpu, others = seconds_of(worker.pid) - cpu, processes.cpu().since(others)
            calls, wal = calls_made(port) - calls, await database.fetchval(WRITTEN, wal)
        mails = size_of_mails(folder)
        await database.execute("vacuum analyze")
        after = await sizes(database)
        papers = await database.fetchval("select avg(papers)::float8 from public.digests")
        removed = await removal_ms(database)
        await database.close()
    return {
        "readers": READERS,
        "papers": papers,
        "calls": calls / READERS,
        "write_ahead_log_bytes": wal / READERS,
        **removed,
        "worker_cpu_ms": cpu / READERS * 1e3,
        "gateway_cpu_ms": others.gateway / READERS * 1e3,
        "postgres_cpu_ms": others.postgres / READERS * 1e3,
        "mails": len(mails),
        "mail_bytes": sum(mails) / max(1, len(mails)),
        "tables": {
            name: {what: (after[name][what] - before[name][what]) / READERS for what in after[name]} for name in TABLES
        },
    }


def main() -> None:
    """Measure, print and save."""
    found = uvloop.run(measure())
    rows = [
        [name, f"{one['rows']:.1f}", f"{one['bytes']:,.0f}", f"{one['index_bytes']:,.0f}"]
        for name, one in found["tables"].items()
    ]
    show("a reader's day: added to each table", ["table", "rows", "bytes with indexes", "of these in indexes"], rows)
    figures = [
        [name.replace("_", " "), f"{value:,.2f}"] for name, value in found.items() if isinstance(value, float | int)
    ]
    show("a reader's day: the work", ["figure", "value"], figures)
    save("reader_days", found)


if __name__ == "__main__":
    main()
