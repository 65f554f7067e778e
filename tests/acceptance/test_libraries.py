"""Connected libraries in worker processes: a worker that is killed in the middle loses nothing and doubles nothing."""

import asyncio
import signal

import asyncpg
from aiohttp import web
from pydantic import SecretStr
from supabase import AsyncClient

from app.services import Services
from embedded.stack import Ready
from tests.support.fake_zotero import KEY, USER, FakeZotero
from tests.support.processes import LONG_LEASE, worker_process
from tests.support.running_worker import PATIENCE, until
from tests.support.schedule import add_reader

STARTED = "worker started"
PAPERS = 600
SYNCED = "select synced_at is not null from public.reader_libraries"


async def test_a_killed_worker_syncs_a_library_once(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection
) -> None:
    reader = (await add_reader(client)).reader_id
    fake = FakeZotero()
    fake.fill(range(PAPERS))
    async with fake.serve() as zotero:
        await Services.build(client).libraries.connect(reader, USER, [], SecretStr(KEY))
        settings = LONG_LEASE | {"ZOTERO_BASE_URL": zotero.url}
        first, second = worker_process(stack, **settings), worker_process(stack, **settings)
        reached, killed = asyncio.Event(), asyncio.Event()

        def hold_the_fourth(_request: web.Request) -> None:
            if sum(each.path.endswith("/items") for each in zotero.requests) == 4 and not reached.is_set():
                reached.set()
                zotero.hold = killed.wait()

        zotero.before = hold_the_fourth
        await first.start(STARTED)
        async with asyncio.timeout(PATIENCE):
            await reached.wait()
        await first.stop(signal.SIGKILL)
        killed.set()
        assert await database.fetchval("select count(*) from public.library_entries") == 150
        before = len(zotero.requests)
        # What the lost worker held expires later.
        await database.execute("update public.reader_libraries set claimed_until = now()")
        await database.execute("update public.rate_limits set held_until = now()")
        await second.start(STARTED)
        await until(database, SYNCED)
        assert await second.stop() == 0
    read = [request for request in zotero.requests[before:] if request.path.endswith("/items")]
    keys = [key for request in read for key in request.query["itemKey"].split(",")]
    assert len(keys) == len(set(keys)) == PAPERS - 150, "what the first worker recorded is not read again"
    papers = await database.fetch("select doi from public.reader_papers where synced and liked")
    assert sorted(row["doi"] for row in papers) == sorted(f"10.1000/ice.{number}" for number in range(PAPERS))


async def test_two_workers_sync_each_library_once(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection
) -> None:
    readers = [(await add_reader(client)).reader_id for _ in range(6)]
    fake = FakeZotero()
    fake.fill(range(60))
    async with fake.serve() as zotero:
        for reader in readers:
            await Services.build(client).libraries.connect(reader, USER, [], SecretStr(KEY))
        settings = LONG_LEASE | {"ZOTERO_BASE_URL": zotero.url}
        workers = [worker_process(stack, **settings) for _ in range(2)]
        for worker in workers:
            await worker.start(STARTED)
        await until(database, "select bool_and(synced_at is not null) from public.reader_libraries")
        for worker in workers:
            assert await worker.stop() == 0
    assert len(zotero.requests) == 6 * 3, "one list and two batches for each library"
    counts = await database.fetch("select reader_id, count(*) from public.reader_papers group by reader_id")
    assert {row["reader_id"]: row["count"] for row in counts} == dict.fromkeys(readers, 60)
