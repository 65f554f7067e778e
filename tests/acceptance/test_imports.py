"""Imports in worker processes: a worker that is killed in the middle loses nothing and repeats nothing."""

import json
import signal

import asyncpg
from supabase import AsyncClient

from embedded.stack import Ready
from tests.support.imports import bibtex, uploaded
from tests.support.processes import LONG_LEASE, worker_process
from tests.support.running_worker import until, until_ended
from tests.support.schedule import add_reader
from tests.support.tasks import expire_lease

STARTED = "worker started"
ENTRIES, BROKEN = 2_000, 40
PIECE = 100_000


async def test_a_killed_worker_imports_a_library_once(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection
) -> None:
    reader, content = (await add_reader(client)).reader_id, bibtex(ENTRIES, broken=BROKEN).encode()
    pieces = [content[start : start + PIECE] for start in range(0, len(content), PIECE)]
    task = await uploaded(client, reader, *pieces)
    first, second = worker_process(stack, **LONG_LEASE), worker_process(stack, **LONG_LEASE)
    await first.start(STARTED)
    await until(database, "select entries > 0 from public.uploads")
    async with database.transaction():
        # The next batch waits for this lock, so the worker is killed in the middle.
        await database.execute("select from public.readers for update")
        recorded = await database.fetchval("select entries from public.uploads")
        await first.stop(signal.SIGKILL)
    assert 0 < recorded < ENTRIES
    await second.start(STARTED)
    await until(database, "select count(*) = 2 from public.workers")
    await expire_lease(database, task.task_id)
    row = await until_ended(database, task.task_id)
    assert await second.stop() == 0
    report = json.loads(row["result"])
    counts = [report[name] for name in ("entries", "accepted", "already_there", "rejected")]
    assert (row["status"], row["attempt"], counts) == ("completed", 2, [ENTRIES, ENTRIES - BROKEN, 0, BROKEN])
    assert {each["key"] for each in report["rejections"]} == {f"key{n}" for n in range(ENTRIES - BROKEN, ENTRIES)}
    assert await database.fetchval("select count(*) from public.reader_papers") == ENTRIES - BROKEN
    assert not await database.fetchval("select exists (select from public.upload_pieces)")
