"""The removal of a reader, while another call creates a task for this reader: nothing of the reader remains.

Each test holds the other call uncommitted, because the removal cannot see its rows, and lets the removal wait for it.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.new_task import NewTask
from app.persistence.operator import Actor, Operator
from app.persistence.outcomes import Completed, Failed
from app.persistence.readers import Readers
from app.persistence.uploads import Uploads
from tests.contract.consistency import left_behind
from tests.support.imports import uploaded
from tests.support.mailer import FAILED, Mailer
from tests.support.schedule import OWNER, Clock, add_reader, enqueued, write_digests, written
from tests.support.tasks import Claimer, somebody_waits

COMPLETE = "select public.complete_tasks($1, $2, clock_timestamp())"
RESOLVE = "select public.resolve_for_operator(gen_random_uuid(), 'root', $1, 'pending')"


@asynccontextmanager
async def removed_meanwhile(client: AsyncClient, database: asyncpg.Connection, reader_id: UUID) -> AsyncIterator[None]:
    """Remove the reader while the calls of the body, through `database`, are uncommitted."""
    async with database.transaction():
        yield
        removal = asyncio.create_task(Readers(client).remove(reader_id))
        await somebody_waits(database)
    await removal


@pytest.fixture
async def reader(client: AsyncClient, clock: Clock) -> UUID:
    """A reader whose digest is due."""
    await clock.set("2026-11-24T06:00:00Z")
    found = await add_reader(client, email="a@example.org")
    await clock.set("2026-11-24T07:00:00Z")
    return found.reader_id


async def test_a_removal_leaves_no_mail_of_an_ending_digest(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    await enqueued(client, database)
    worker = Claimer(client, kinds=[TaskKind.DIGEST])
    task = await worker.claim_one()
    end = {
        "task_id": str(task.task_id),
        "lease_token": str(task.lease.lease_token),
        "result": {},
        "digest": written("T"),
    }
    async with removed_meanwhile(client, database, reader):
        assert await database.fetchval(COMPLETE, worker.worker_id, json.dumps([end])) == "[]"
        assert await database.fetchval("select count(*) from public.queue where kind = 'delivery'") == 1
    assert await left_behind(database) == {}


async def test_a_removal_leaves_no_callback_of_an_ending_import(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    task = await uploaded(client, reader, b"a")
    await database.execute(
        "update public.tasks set callback_url = 'https://a.example/' where task_id = $1", task.task_id
    )
    async with removed_meanwhile(client, database, reader):
        await database.execute("select public.cancel_task($1, null)", task.task_id)
        assert await database.fetchval("select count(*) from public.queue where kind = 'callback'") == 1
    assert await left_behind(database) == {}


async def test_a_removal_leaves_no_mail_that_an_admin_resumes(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    await enqueued(client, database)
    await write_digests(client, "T")
    mailer = Mailer(client)
    lease = await mailer.claim()
    await mailer.begin(lease)
    await mailer.end(lease, FAILED, reason="550")
    await mailer.claimer.sync({lease: Completed({})})
    async with removed_meanwhile(client, database, reader):
        await database.execute(RESOLVE, mailer.delivery_id)
    assert await left_behind(database) == {}


@pytest.mark.parametrize("replay", ["replay_task", "redeliver"])
async def test_a_removal_leaves_no_replayed_task(
    replay: str, client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    imported = await uploaded(client, reader, b"a", max_attempts=1)
    await database.execute(
        "update public.tasks set callback_url = 'https://a.example/' where task_id = $1", imported.task_id
    )
    worker = Claimer(client)
    task = await worker.claim_one()
    await worker.finish(task, Failed("no", None))
    if replay == "redeliver":
        task = await worker.claim_one()
        await worker.finish(task, Completed({}))
    async with removed_meanwhile(client, database, reader):
        await database.execute(f"select public.{replay}(gen_random_uuid(), 'root', $1)", task.task_id)
    assert await left_behind(database) == {}


async def test_a_removal_leaves_no_import_of_an_ending_upload(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    upload = uuid4()
    await Uploads(client).open(upload, OWNER, reader, None)
    await Uploads(client).append(upload, 0, b"a")
    row = NewTask(upload, TaskKind.IMPORT, {"reader_id": str(reader)}, None).as_row() | {"reader_id": str(reader)}
    async with removed_meanwhile(client, database, reader):
        await database.execute("select public.finish_upload($1, $2, 1, $3)", upload, OWNER, json.dumps([row]))
    assert await left_behind(database) == {}


async def test_a_replay_waits_for_the_removal_of_its_reader(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    await uploaded(client, reader, b"a")
    worker = Claimer(client)
    task = await worker.claim_one()
    await worker.finish(task, Failed("no", None))
    async with database.transaction():
        await database.execute("select public.remove_reader($1, null)", reader)
        replay = asyncio.create_task(Operator(client).replay_dead(Actor(uuid4(), "root"), TaskKind.IMPORT))
        await somebody_waits(database)
    assert (await replay).replayed == 0
    assert await left_behind(database) == {}
