"""Each call that locks several rows locks them in one order, independent of the order in the request.

Each test holds the first row in that order, lets the call wait for it, and then locks the others: a call that had one
of them would be found by `nowait`, or by PostgreSQL as a deadlock.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.deliveries import Deliveries
from app.persistence.outcomes import Completed, Failed, Outcome
from app.persistence.queue import Progress
from app.persistence.reader_papers import PaperInput, ReaderPapers
from app.persistence.readers import Readers
from app.persistence.readers_file import FileEntry, ReadersFile
from tests.support.feedback import rate
from tests.support.schedule import OWNER, Clock, add_reader, enqueued, written
from tests.support.tasks import Claimer, insert_tasks, somebody_waits

NAMES = [f"r{n}" for n in range(8)]
READERS = "select from public.readers where external_id = any ($1) for update nowait"
QUEUE = "select from public.queue where task_id = any ($1) for update nowait"
DELIVERIES = "select from public.deliveries where delivery_id = any ($1) for update nowait"
NEW = "insert into public.readers (owner, external_id, name) select $2, name, 'T' from unnest($1::text[]) as name"


async def readers_in_reverse(client: AsyncClient, **columns: Any) -> list[UUID]:
    """Readers whose ids have the reverse order of their names; returns the ids by name."""
    ids = sorted((uuid4() for _ in NAMES), reverse=True)
    for name, reader_id in zip(NAMES, ids, strict=True):
        await add_reader(client, reader_id=str(reader_id), external_id=name, **columns)
    return ids


def rows(*, by_id: Sequence[UUID] = ()) -> list[dict[str, Any]]:
    """An import of all readers in another order, each by its name, or by its id with another name."""
    if not by_id:
        return [{"reader_id": str(uuid4()), "external_id": name, "name": "New"} for name in NAMES[::-1]]
    return [{"reader_id": str(each), "external_id": f"x{n}", "name": "New"} for n, each in enumerate(by_id[::-1])]


async def test_an_import_locks_readers_by_name(client: AsyncClient, database: asyncpg.Connection) -> None:
    await readers_in_reverse(client)
    async with database.transaction():
        await database.execute(READERS, NAMES[:1])
        importing = asyncio.create_task(Readers(client).import_readers(OWNER, rows()))
        await somebody_waits(database)
        await database.execute(READERS, NAMES[1:])
    assert {put.outcome for put in await importing} == {"changed"}


async def test_an_import_by_id_locks_readers_by_name(client: AsyncClient, database: asyncpg.Connection) -> None:
    ids = await readers_in_reverse(client)
    async with database.transaction():
        await database.execute(READERS, NAMES[:1])
        importing = asyncio.create_task(Readers(client).import_readers(OWNER, rows(by_id=ids)))
        await somebody_waits(database)
        await database.execute(READERS, NAMES[1:])
    assert {put.outcome for put in await importing} == {"changed"}


async def test_an_import_creates_readers_by_name(client: AsyncClient, database: asyncpg.Connection) -> None:
    async with database.transaction():
        await database.execute(NEW, NAMES[:1], OWNER)
        importing = asyncio.create_task(Readers(client).import_readers(OWNER, rows()))
        await somebody_waits(database)
        await database.execute(NEW, NAMES[1:], OWNER)
    assert {put.outcome for put in await importing} == {"changed"}


async def test_a_readers_file_creates_readers_by_name(client: AsyncClient, database: asyncpg.Connection) -> None:
    """A new reader before existing ones: it does not wait for another call's reader while it holds later ones."""
    for name in NAMES[1:]:
        await add_reader(client, external_id=name)
    entries = [FileEntry(name, {"name": "New", "profile": {}}) for name in NAMES[::-1]]
    async with database.transaction():
        await database.execute(NEW, NAMES[:1], OWNER)
        applying = asyncio.create_task(ReadersFile(client).apply(OWNER, entries, {"profile": {}}))
        await somebody_waits(database)
        await database.execute(READERS, NAMES[1:])
    assert {result.outcome for result in await applying} == {"changed"}


async def test_an_import_responds_in_the_given_order(client: AsyncClient) -> None:
    known = await add_reader(client, external_id="m")
    given = [{"reader_id": str(uuid4()), "external_id": name, "name": "A"} for name in ("z", "m", "a b", "a", "z")]
    answers = await Readers(client).import_readers(OWNER, given)
    assert [put.outcome for put in answers] == ["created", "changed", "refused", "created", "unchanged"]
    ids = [UUID(row["reader_id"]) for row in given]
    assert [put.reader_id for put in answers] == [ids[0], known.reader_id, None, ids[3], ids[0]]
    assert await Readers(client).import_readers(OWNER, []) == []


async def test_imports_that_name_users_take_turns(client: AsyncClient, database: asyncpg.Connection) -> None:
    users = [str(uuid4()), str(uuid4())]
    given = [
        {"reader_id": str(uuid4()), "external_id": name, "name": "T", "user_id": user}
        for name, user in zip("ab", users, strict=True)
    ]
    put = "select public.upsert_readers('ada', $1, true)"
    async with database.transaction():
        await database.execute(put, json.dumps([{**given[1], "external_id": "x", "reader_id": str(uuid4())}]))
        importing = asyncio.create_task(Readers(client).import_readers("bob", given))
        await somebody_waits(database)
        await database.execute(put, json.dumps([{**given[0], "external_id": "y", "reader_id": str(uuid4())}]))
    assert {answer.outcome for answer in await importing} == {"refused"}


async def test_a_bounce_locks_readers_by_name(client: AsyncClient, database: asyncpg.Connection) -> None:
    await readers_in_reverse(client, email="a@example.org")
    async with database.transaction():
        await database.execute(READERS, NAMES[:1])
        bounce = asyncio.create_task(Deliveries(client).record_bounce(["a@example.org"], "no", complaint=False))
        await somebody_waits(database)
        await database.execute(READERS, NAMES[1:])
    assert await bounce == len(NAMES)


async def test_look_ups_lock_readers_by_name(client: AsyncClient, database: asyncpg.Connection) -> None:
    for reader_id in await readers_in_reverse(client):
        await rate(ReaderPapers(client), reader_id, PaperInput(keys=("arxiv:1",), arxiv_id="1"), True)
    async with database.transaction():
        await database.execute(READERS, NAMES[:1])
        noting = asyncio.create_task(ReaderPapers(client).record_looked_up(["1"], []))
        await somebody_waits(database)
        await database.execute(READERS, NAMES[1:])
    await noting
    assert await ReaderPapers(client).to_look_up(5) == []


async def test_new_vectors_lock_readers_by_name(client: AsyncClient, database: asyncpg.Connection) -> None:
    for reader_id in await readers_in_reverse(client):
        paper = PaperInput(keys=("arxiv:1",), arxiv_id="1", title="T", abstract="A")
        await rate(ReaderPapers(client), reader_id, paper, True)
    await database.execute("update public.reader_papers set vector = '1:AA' where true")
    vectors = dict.fromkeys(await ReaderPapers(client).outdated_vectors("2:", len(NAMES)), "2:AA")
    async with database.transaction():
        await database.execute(READERS, NAMES[:1])
        storing = asyncio.create_task(ReaderPapers(client).put_vectors("2:", vectors))
        await somebody_waits(database)
        await database.execute(READERS, NAMES[1:])
    assert await storing == len(NAMES)


async def test_a_sync_locks_all_of_its_tasks_by_id(client: AsyncClient, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 30)
    worker = Claimer(client)
    claimed = sorted(await worker.claim(), key=lambda task: task.task_id)
    first, *others = [task.task_id for task in claimed]
    # The first row is in the list that is processed last.
    ends: list[Outcome | None] = [None, Failed("no", None), Completed({})]
    chosen = [(task, ends[n % 3]) for n, task in enumerate(claimed)]
    random.Random(5).shuffle(chosen)
    async with database.transaction():
        await database.execute(QUEUE, [first])
        outcomes = {task.lease: end for task, end in chosen if end is not None}
        progress = {task.lease: Progress("half", 0.5) for task, end in chosen if end is None}
        syncing = asyncio.create_task(worker.sync(outcomes, progress=progress))
        await somebody_waits(database)
        await database.execute(QUEUE, others)
    assert (await syncing).rejected_outcomes == ()
    assert await database.fetchval("select count(*) from public.queue where message = 'half'") == 10


async def test_digests_record_what_was_shown_by_reader(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    await readers_in_reverse(client)
    await clock.set("2026-11-24T07:00:00Z")
    await enqueued(client, database)
    worker = Claimer(client, kinds=[TaskKind.DIGEST])
    of = {UUID(task.payload["scheduled"]["reader_id"]): task.lease for task in await worker.claim()}
    first, *others = sorted(of)
    show = "insert into public.shown_items (reader_id, key) select id, 'title:t' from unnest($1::uuid[]) as id"
    async with database.transaction():
        await database.execute(show, [first])
        ends = {of[reader]: Completed({}, written("T")) for reader in [*others[::-1], first]}
        ending = asyncio.create_task(worker.sync(ends))
        await somebody_waits(database)
        await database.execute(show, others)
    assert (await ending).rejected_outcomes == ()


async def test_a_removal_locks_mails_by_id(
    client: AsyncClient, database: asyncpg.Connection, mails: list[UUID]
) -> None:
    (reader,) = await Readers(client).page(OWNER)
    async with database.transaction():
        await database.execute(DELIVERIES, mails[:1])
        removing = asyncio.create_task(Readers(client).remove(reader.reader_id))
        await somebody_waits(database)
        await database.execute(DELIVERIES, mails[1:])
    await removing
    assert await database.fetchval("select count(*) from public.deliveries") == 0
