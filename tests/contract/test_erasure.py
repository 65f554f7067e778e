"""The deletion of everything about a reader: no row that mentions the reader is left, and nothing brings one back."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import LeaseLost, PermanentError, ReaderNotFound
from app.models.tasks import TaskKind
from app.persistence.deliveries import DeliveryLost, SkipDelivery
from app.persistence.imports import Imports
from app.persistence.operator import Actor, Operator
from app.persistence.outcomes import Completed
from app.persistence.own_data import OwnData
from app.persistence.readers import Reader, Readers, ReaderStatus
from app.persistence.readers_file import FileEntry, ReadersFile
from app.persistence.schedule import Schedule
from app.persistence.tasks import TaskStateManager
from tests.support.imports import entry, fill_papers, uploaded
from tests.support.mailer import SENT, Mailer
from tests.support.own_data import (
    ACTION,
    EMAIL,
    INTEREST,
    KEY,
    NAME,
    begin_erasure,
    erase,
    furnish,
    link_of,
    mentions,
    unusual_reader,
)
from tests.support.schedule import OWNER, Clock, add_reader, written
from tests.support.tasks import Claimer, somebody_waits


@pytest.fixture
async def reader(client: AsyncClient, clock: Clock) -> Reader:
    return await unusual_reader(client, clock)


async def test_no_table_mentions_a_reader_who_deleted_their_data(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, reader: Reader
) -> None:
    await ReadersFile(client).apply(OWNER, [FileEntry(KEY, {"name": NAME})], {"profile": {}})
    other = await add_reader(client, name="Bo", email="bo@example.org", timezone=None, send_at=None)
    texts = await furnish(client, database, clock, reader)
    await link_of(client, other)
    before = await mentions(database, texts)
    assert before >= {
        *("readers", "readers_private", "reader_papers", "reader_paper_keys", "digests", "archived_items", "tasks"),
        *("deliveries", "queue", "uploads", "upload_pieces", "shown_items", "shown_digests", "audit"),
    }
    await erase(client, reader)
    assert await mentions(database, texts) == set()
    assert [each.reader_id for each in await Readers(client).page(OWNER)] == [other.reader_id]
    assert await database.fetchval("select count(*) from public.audit") == 3
    assert await database.fetchval("select count(*) from public.deliveries") == 1


async def test_only_readers_who_asked_for_it_are_erased(client: AsyncClient, reader: Reader) -> None:
    await add_reader(client, email="bo@example.org")
    assert await OwnData(client).to_erase() == []
    await begin_erasure(client, reader)
    assert await OwnData(client).to_erase() == [reader.reader_id]


async def test_an_operators_audit_is_still_readable_after_a_deletion(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, reader: Reader
) -> None:
    await furnish(client, database, clock, reader)
    await erase(client, reader)
    entries = (await Operator(client).audit_entries()).entries
    assert [entry.action for entry in entries] == ["replay", "resolve", "cancel"]
    repeated = await Operator(client).cancel(Actor(ACTION, "root"), uuid4())
    assert repeated.reader_id == UUID(int=0)


async def test_nothing_is_sent_after_a_deletion_has_begun(client: AsyncClient, reader: Reader) -> None:
    await begin_erasure(client, reader)
    await Readers(client).change_status(
        reader.reader_id, ReaderStatus.ACTIVE, None, from_statuses={ReaderStatus.UNSUBSCRIBED}
    )
    mailer = Mailer(client)
    decision = await mailer.begin(await mailer.claim())
    assert isinstance(decision, SkipDelivery)
    assert decision.reason == "the reader deleted their data"


async def test_a_deletion_that_has_begun_does_not_expire(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader
) -> None:
    link_id, own_data = await link_of(client, reader), OwnData(client)
    assert await own_data.begin_erasure(link_id, reader.reader_id) == "begun"
    await database.execute("update public.deliveries set created_at = now() - interval '1 day'")
    assert await own_data.begin_erasure(link_id, reader.reader_id) == "begun"
    assert await own_data.erase(reader.reader_id) == "erased"


async def test_a_deletion_waits_for_a_mail_that_is_being_sent(client: AsyncClient, reader: Reader) -> None:
    own_data, mailer = OwnData(client), Mailer(client)
    await link_of(client, reader)
    lease = await mailer.claim()
    assert (await mailer.begin(lease)).verdict == "send"
    await begin_erasure(client, reader)
    assert await own_data.erase(reader.reader_id) == "sending"
    assert await own_data.to_erase() == [reader.reader_id]
    assert await mailer.end(lease, SENT)
    assert await own_data.erase(reader.reader_id) == "erased"
    assert await own_data.to_erase() == []


async def test_a_deletion_waits_for_a_mail_that_is_just_beginning(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader
) -> None:
    mailer = Mailer(client)
    await link_of(client, reader)
    lease = await mailer.claim()
    await begin_erasure(client, reader)
    async with database.transaction():
        await database.execute(
            "update public.deliveries set status = 'sending', token = $1, envelope = '{}', begun_at = now()"
            " where delivery_id = $2",
            *(lease.lease_token, mailer.delivery_id),
        )
        erasing = asyncio.create_task(OwnData(client).erase(reader.reader_id))
        await somebody_waits(database)
    assert await erasing == "sending"


async def test_a_deletion_does_not_wait_for_a_lost_sender(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader
) -> None:
    mailer = Mailer(client)
    await link_of(client, reader)
    lease = await mailer.claim()
    await mailer.begin(lease)
    await begin_erasure(client, reader)
    await database.execute("update public.workers set seen_at = now() - interval '15 minutes'")
    assert await OwnData(client).erase(reader.reader_id) == "erased"
    assert not await mailer.end(lease, SENT)
    assert isinstance(await mailer.begin(lease), DeliveryLost)
    assert await database.fetchval("select count(*) from public.deliveries") == 0


async def test_a_digest_that_is_being_written_brings_nothing_back(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, reader: Reader
) -> None:
    await clock.set("2026-11-24T07:30:00Z")
    await Schedule(client).enqueue_due()
    writer = Claimer(client, kinds=[TaskKind.DIGEST])
    task = await writer.claim_one()
    await erase(client, reader)
    await writer.sync({task.lease: Completed({}, written(INTEREST))})
    assert await mentions(database, [INTEREST, EMAIL, str(reader.reader_id)]) == set()


async def test_an_import_that_runs_ends_and_adds_nothing(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader
) -> None:
    await uploaded(client, reader.reader_id, b"10.1/1")
    task = await Claimer(client, kinds=[TaskKind.IMPORT]).claim_one()
    imports = Imports(client)
    await imports.begin(task.task_id, "v")
    await erase(client, reader)
    with pytest.raises((LeaseLost, PermanentError)):
        await imports.record(task.lease, 0, [entry(1)])
    assert await database.fetchval("select count(*) from public.reader_papers") == 0


async def test_many_rows_are_deleted_in_bounded_steps(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader
) -> None:
    own_data = OwnData(client)
    await fill_papers(database, reader.reader_id, 4500)
    await begin_erasure(client, reader)
    outcomes = [await own_data.erase(reader.reader_id) for _ in range(4)]
    assert outcomes == ["more", "more", "more", "erased"]


async def test_two_deletions_at_once_both_succeed(client: AsyncClient, reader: Reader) -> None:
    link_id, own_data = await link_of(client, reader), OwnData(client)

    async def once() -> str:
        await own_data.begin_erasure(link_id, reader.reader_id)
        return await own_data.erase(reader.reader_id)

    assert set(await asyncio.gather(*(once() for _ in range(6)))) == {"erased"}
    with pytest.raises(ReaderNotFound):
        await Readers(client).get(reader.reader_id)


async def test_a_callback_of_a_reader_is_found_without_its_task(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader
) -> None:
    task = await uploaded(client, reader.reader_id, b"10.1/1")
    await database.execute("update public.tasks set callback_url = 'https://x.example/' where true")
    await TaskStateManager(client).cancel_task(task.task_id)
    await database.execute("delete from public.tasks where kind = 'import'")
    await erase(client, reader)
    assert await database.fetchval("select count(*) from public.tasks") == 0
