"""Many readers: lists, the overview, the delivery rate and the readers file, with ten thousand readers and with more.

Each call is made over HTTP, and an empty call follows each: a call whose multiple grows with the readers is a fault.
"""

import argparse
import math
from typing import Any
from uuid import UUID

import asyncpg
import uvloop
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.errors import SupabaseError
from app.persistence.health import Health
from app.persistence.operator import Operator
from app.persistence.readers import Readers, ReaderStatus
from app.persistence.readers_file import FileEntry, ReadersFile
from benchmarks.capacity import Call, measured, seconds
from benchmarks.processes import emulator
from benchmarks.report import save, show
from benchmarks.schedule import ARRIVE, PROFILE, ZONES
from embedded.stack import Ready

FEWEST, MOST = 10_000, 100_000
FILE = 2_000
MIDDLE = UUID("80000000-0000-4000-8000-000000000000")
BOUNCED = "update public.readers set status = 'bounced' where name ~ '^Reader [1-9]7$'"
TODAY = """
with made as (
    insert into public.tasks (task_id, kind, payload, reader_id, local_day, request_hash, priority, status, finished_at)
    select md5('digest:' || reader_id || ':' || day)::uuid, 'digest',
           jsonb_build_object('scheduled', jsonb_build_object('due_at', now())), reader_id, day, '', 2, 'completed',
           now()
      from (select reader_id, (now() at time zone timezone)::date as day from public.readers) r
    returning task_id, reader_id, local_day),
written as (
    insert into public.digests (task_id, owner, source_date, digest, page, reader_id, local_day)
    select task_id, 'default', local_day, '{"keys": []}', '', null, null from made)
insert into public.deliveries (delivery_id, owner, reader_id, kind, local_day, digest_id, status, ended_at)
select task_id, 'default', reader_id, 'digest', local_day, task_id, 'sent', now() from made
"""


def calls(client: AsyncClient) -> dict[str, Call]:
    """Each call by its name."""
    readers, operator, health = Readers(client), Operator(client), Health(client)
    return {
        "list: first page": lambda: readers.list_page("default"),
        "list: a page in the middle": lambda: readers.list_page("default", cursor=MIDDLE),
        "list: bounced": lambda: readers.list_page("default", status=ReaderStatus.BOUNCED),
        "list: bounced, of all owners": lambda: readers.list_page(None, status=ReaderStatus.BOUNCED),
        "list: unconfirmed": lambda: readers.list_page("default", status=ReaderStatus.UNCONFIRMED),
        "operators' overview": operator.overview,
        "health": health.facts,
    }


async def apply_file(client: AsyncClient, first: int) -> float:
    """The seconds in which a readers file creates `FILE` readers, beside those that exist; infinite after a timeout."""
    values = {"profile": {"interests": ["graph neural networks"]}, "timezone": "UTC", "send_at": "07:00"}
    entries = [
        FileEntry(f"f{n}", values | {"name": f"Reader {n}", "email": f"f{n}@example.org"})
        for n in range(first, first + FILE)
    ]
    try:
        return await seconds(ReadersFile(client).apply("file", entries, {"profile": {}}))
    except SupabaseError as error:
        print(error, flush=True)
        return math.inf


async def at_size(ready: Ready, database: asyncpg.Connection, number: int) -> dict[str, Any]:
    """Create the readers, who all got their digest today, and measure everything."""
    await database.execute(
        "truncate public.readers, public.tasks, public.queue, public.digests, public.deliveries cascade"
    )
    await database.execute(ARRIVE, number, PROFILE, ZONES)
    await database.execute(BOUNCED)
    await database.execute(TODAY)
    await database.execute("vacuum analyze")
    settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
    found: dict[str, Any] = {"readers": number, "calls": {}}
    async with open_supabase(settings) as client:
        for name, call in calls(client).items():
            found["calls"][name] = await measured(call, lambda: client.rpc("schema_version").execute())
            print(name, found["calls"][name], flush=True)
        found["delivery_rate_seconds"] = min(
            [await seconds(database.execute("select public.daily_deliveries()")) for _ in range(3)]
        )
        found["file_seconds"] = min([await apply_file(client, n * FILE) for n in range(3)])
    return found


async def measure(most: int) -> list[dict[str, Any]]:
    """Measure with the fewest readers and with the most."""
    with emulator(durable=False) as ready:
        database = await asyncpg.connect(ready.database_url)
        found = [await at_size(ready, database, number) for number in (FEWEST, most)]
        await database.close()
    return found


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=MOST, help="the larger number of readers")
    few, many = uvloop.run(measure(parser.parse_args().readers))
    rows = []
    for name, one in many["calls"].items():
        before, failed = few["calls"][name], one.get("error") or few["calls"][name].get("error")
        if failed:
            rows.append([name, failed[:60], "", "", ""])
            continue
        figures = (before["lowest_ms"], one["lowest_ms"], one["p50_ms"], one["multiple"] / before["multiple"])
        rows.append([name, *(f"{value:.2f}" for value in figures)])
    columns = ["call, ms", f"lowest, {few['readers']:,}", f"lowest, {many['readers']:,}", "p50", "x of fewest"]
    show("many readers: calls", columns, rows)
    other = [
        [name.replace("_", " "), f"{few[name]:.2f}", f"{many[name]:.2f}"]
        for name in ("delivery_rate_seconds", "file_seconds")
    ]
    show(f"many readers: the delivery rate; a file with {FILE:,} new readers", ["figure", *columns[1:3]], other)
    save("many_readers", {"sizes": [few, many]})


if __name__ == "__main__":
    main()
