"""Uploads of libraries: one for each reader, a few for each caller, and none is left behind."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import (
    IdempotencyConflict,
    ReaderNotFound,
    SupabaseRejected,
    TooManyUploads,
    UploadInProgress,
    UploadRemoved,
)
from app.models.tasks import Task, TaskKind
from app.persistence.idempotency_keys import CallerKey
from app.persistence.maintenance import Maintenance
from app.persistence.new_task import NewTask
from app.persistence.outcomes import Completed, Failed
from app.persistence.readers import Readers
from app.persistence.tasks import TaskStateManager
from app.persistence.uploads import CALLER_UPLOADS, Uploads
from tests.support.imports import uploaded
from tests.support.schedule import add_reader
from tests.support.tasks import Claimer, expire_lease

LEFT = "select (select count(*) from public.uploads) + (select count(*) from public.upload_pieces)"


@pytest.fixture
async def reader(client: AsyncClient) -> UUID:
    return (await add_reader(client)).reader_id


async def stand_still(database: asyncpg.Connection, upload_id: UUID, duration: str) -> None:
    await database.execute(
        "update public.uploads set touched_at = touched_at - $2::text::interval where upload_id = $1",
        upload_id,
        duration,
    )


async def test_a_reader_has_one_open_upload(client: AsyncClient, reader: UUID) -> None:
    uploads, first = Uploads(client), uuid4()
    await uploads.open(first, "default", reader, None)
    with pytest.raises(UploadInProgress, match="being received"):
        await uploads.open(uuid4(), "another", reader, None)
    await uploads.open(uuid4(), "default", (await add_reader(client)).reader_id, None)
    await uploads.discard(first)
    await uploads.open(uuid4(), "default", reader, None)
    with pytest.raises(ReaderNotFound):
        await uploads.open(uuid4(), "default", uuid4(), None)


async def test_a_caller_has_a_few_open_uploads(client: AsyncClient, database: asyncpg.Connection) -> None:
    uploads = Uploads(client)
    readers = [(await add_reader(client)).reader_id for _ in range(CALLER_UPLOADS + 2)]
    for reader in readers[:CALLER_UPLOADS]:
        await uploads.open(uuid4(), "default", reader, None)
    with pytest.raises(TooManyUploads):
        await uploads.open(uuid4(), "default", readers[-1], None)
    await uploads.open(uuid4(), "another", readers[-1], None)
    await database.execute("update public.uploads set received = true")
    await uploads.open(uuid4(), "default", readers[-2], None)


async def test_a_caller_has_twenty_stored_uploads_at_most(client: AsyncClient, database: asyncpg.Connection) -> None:
    for _ in range(20):
        reader_id = (await add_reader(client)).reader_id
        await Uploads(client).open(uuid4(), "default", reader_id, None)
        await database.execute("update public.uploads set received = true")
    with pytest.raises(TooManyUploads):
        await Uploads(client).open(uuid4(), "default", (await add_reader(client)).reader_id, None)


async def test_an_abandoned_upload_gives_way_to_another(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    uploads, first, second = Uploads(client), uuid4(), uuid4()
    await uploads.open(first, "default", reader, None)
    await uploads.append(first, 0, b"a")
    await stand_still(database, first, "61 seconds")
    await uploads.open(second, "default", reader, None)
    for call in (uploads.append(first, 1, b"b"), uploads.append(second, 1, b"b")):
        with pytest.raises(UploadRemoved):
            await call
    assert await database.fetchval(LEFT) == 1


async def test_each_piece_keeps_its_upload_from_being_abandoned(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    uploads, first = Uploads(client), uuid4()
    await uploads.open(first, "default", reader, None)
    await stand_still(database, first, "61 seconds")
    await uploads.append(first, 0, b"a")
    with pytest.raises(UploadInProgress):
        await uploads.open(uuid4(), "default", reader, None)


async def test_an_upload_ends_only_with_all_of_its_pieces(client: AsyncClient, reader: UUID) -> None:
    task = await uploaded(client, reader, b"a", b"b")
    assert (task.reader_id, task.kind) == (reader, "import")
    with pytest.raises(UploadRemoved):
        await Uploads(client).append(task.task_id, 2, b"late")
    other = (await add_reader(client)).reader_id
    uploads, upload_id = Uploads(client), uuid4()
    await uploads.open(upload_id, "default", other, None)
    with pytest.raises(UploadRemoved):
        await uploads.finish(NewTask(upload_id, TaskKind.IMPORT, {}, None), "default", other, 1)


async def test_the_database_limits_a_piece_and_a_file(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    uploads, upload_id = Uploads(client), uuid4()
    await uploads.open(upload_id, "default", reader, None)
    for piece in (b"", bytes(1_000_001)):
        with pytest.raises(SupabaseRejected):
            await uploads.append(upload_id, 0, piece)
    await database.execute("update public.uploads set bytes = 49999999")
    await uploads.append(upload_id, 0, b"a")
    with pytest.raises(SupabaseRejected):
        await uploads.append(upload_id, 1, b"b")


async def test_an_unfinished_import_is_repeated_only_by_its_key(client: AsyncClient, reader: UUID) -> None:
    key = CallerKey("k", {"sha256": "1"})
    task = await uploaded(client, reader, b"a", key=key)
    with pytest.raises(UploadInProgress, match=str(task.task_id)):
        await uploaded(client, reader, b"a", key=CallerKey("l", {"sha256": "1"}))
    assert (await uploaded(client, reader, b"a", key=key)).task_id == task.task_id
    await client.table("uploads").delete().eq("received", "false").execute()
    with pytest.raises(IdempotencyConflict):
        await uploaded(client, reader, b"b", key=CallerKey("k", {"sha256": "2"}))


async def complete(client: AsyncClient, _database: asyncpg.Connection, _task: Task) -> None:
    worker = Claimer(client)
    assert await worker.finish(await worker.claim_one(), Completed({})) == "applied"


async def fail(client: AsyncClient, _database: asyncpg.Connection, _task: Task) -> None:
    worker = Claimer(client)
    assert await worker.finish(await worker.claim_one(), Failed("no", None)) == "applied"


async def cancel(client: AsyncClient, _database: asyncpg.Connection, task: Task) -> None:
    await TaskStateManager(client).cancel_task(task.task_id)


async def lose(client: AsyncClient, database: asyncpg.Connection, task: Task) -> None:
    other = Claimer(client)
    await other.sync()
    await Claimer(client).claim_one()
    await expire_lease(database, task.task_id)
    await other.sync()


async def remove_reader(client: AsyncClient, _database: asyncpg.Connection, task: Task) -> None:
    assert task.reader_id is not None
    await Readers(client).remove(task.reader_id)


@pytest.mark.parametrize("end", [complete, fail, cancel, lose, remove_reader])
async def test_a_file_is_removed_when_its_import_ends(
    end: Callable[[AsyncClient, asyncpg.Connection, Task], Awaitable[None]],
    client: AsyncClient,
    database: asyncpg.Connection,
    reader: UUID,
) -> None:
    task = await uploaded(client, reader, b"a", b"b", max_attempts=1)
    assert await database.fetchval(LEFT) == 3
    await end(client, database, task)
    assert await database.fetchval(LEFT) == 0


async def test_a_failed_attempt_keeps_the_file(client: AsyncClient, database: asyncpg.Connection, reader: UUID) -> None:
    await uploaded(client, reader, b"a")
    worker = Claimer(client)
    await worker.finish(await worker.claim_one(), Failed("later", timedelta(0)))
    assert await database.fetchval(LEFT) == 2


async def test_retention_removes_uploads_whose_sender_is_gone(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    kept = await uploaded(client, reader, b"a")
    abandoned, arriving = [uuid4() for _ in range(12)], uuid4()
    for upload_id in (*abandoned, arriving):
        other = (await add_reader(client)).reader_id
        await Uploads(client).open(upload_id, str(upload_id), other, None)
        await Uploads(client).append(upload_id, 0, b"b")
    for upload_id in (*abandoned, kept.task_id):
        await stand_still(database, upload_id, "16 minutes")
    removed = [(await Maintenance(client).retain(task_days=1, edition_days=1)).uploads for _ in range(3)]
    assert removed == [10, 2, 0]
    left = await database.fetch("select upload_id from public.uploads")
    assert {row["upload_id"] for row in left} == {kept.task_id, arriving}
