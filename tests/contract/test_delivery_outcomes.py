"""Who decides the status of a delivery: providers, admins, a restore of the database, the removal of a reader."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import DeliveryNotFound, NotInDoubt
from app.models.tasks import TaskKind
from app.persistence.deliveries import Deliveries, DeliveryStatus, Paused, Send
from app.persistence.operator import Operator
from app.persistence.outcomes import Completed
from app.persistence.reader_papers import PaperInput, ReaderPapers
from app.persistence.readers import Reader, Readers, ReaderStatus
from tests.support.items import record_shown
from tests.support.mailer import FAILED, IN_DOUBT, PENDING, SENT, Mailer
from tests.support.schedule import Clock, add_reader, enqueued
from tests.support.tasks import Claimer


async def test_a_bounce_stops_the_readers_mail_with_a_reason(
    client: AsyncClient, reader: Reader, mailer: Mailer
) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    assert await mailer.end(lease, FAILED, reason="550 5.1.1 no such user", bounce=True)
    stopped = await Readers(client).get(reader.reader_id)
    assert (stopped.status, stopped.status_reason) == (ReaderStatus.BOUNCED, "550 5.1.1 no such user")
    assert stopped.next_due_at is None


async def test_a_providers_report_stops_all_readers_at_the_address(client: AsyncClient, reader: Reader) -> None:
    readers, deliveries = Readers(client), Deliveries(client)
    other = await readers.create("eve", {"reader_id": str(uuid4()), "name": "Eve", "email": reader.email})
    away = await readers.create("ada", {"reader_id": str(uuid4()), "name": "A", "email": "away@example.org"})
    assert reader.email is not None
    assert await deliveries.record_bounce(["nobody@example.org"], "gone", complaint=False) == 0
    assert await deliveries.record_bounce(["x@example.org", reader.email.upper()], "gone", complaint=False) == 2
    assert await deliveries.record_bounce([reader.email], "gone again", complaint=False) == 0
    for each in (reader, other):
        stopped = await readers.get(each.reader_id)
        assert (stopped.status, stopped.status_reason) == (ReaderStatus.BOUNCED, "gone")
    assert await deliveries.record_bounce([reader.email], "spam", complaint=True) == 2
    assert await deliveries.record_bounce([reader.email], "spam", complaint=True) == 0
    assert (await readers.get(other.reader_id)).status is ReaderStatus.UNSUBSCRIBED
    assert (await readers.get(away.reader_id)).status is ReaderStatus.ACTIVE


async def test_admins_can_resolve_only_deliveries_in_doubt(client: AsyncClient, mailer: Mailer) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    with pytest.raises(NotInDoubt):
        await mailer.deliveries.resolve(mailer.delivery_id, SENT, by="ada")
    await mailer.end(lease, IN_DOUBT, reason="the connection broke after the final dot")
    await mailer.claimer.sync({lease: Completed({})})
    for _ in range(2):
        resolved = await mailer.deliveries.resolve(mailer.delivery_id, PENDING, by="ada")
        assert (resolved.status, resolved.resolved_by) == (PENDING, "ada")
    assert len((await Operator(client).audit_entries()).entries) == 1, "the second call changes nothing"
    again = await mailer.claim()
    assert again.task_id != lease.task_id
    assert isinstance(await mailer.begin(again), Send)
    await mailer.end(again, IN_DOUBT)
    assert await mailer.end(again, SENT), "it is in doubt again"
    with pytest.raises(NotInDoubt):
        await mailer.deliveries.resolve(mailer.delivery_id, PENDING, by="ada")


async def test_an_outcome_after_an_admins_decision_is_ignored(mailer: Mailer) -> None:
    again = await mailer.claim()
    await mailer.begin(again)
    await mailer.end(again, IN_DOUBT)
    assert (await mailer.deliveries.resolve(mailer.delivery_id, FAILED, by="ada")).status is FAILED
    assert not await mailer.end(again, SENT)
    with pytest.raises(DeliveryNotFound):
        await mailer.deliveries.resolve(uuid4(), SENT, by="ada")


async def test_a_restored_dump_sends_nothing_until_an_admin_resumes(
    database: asyncpg.Connection, mailer: Mailer
) -> None:
    deliveries = mailer.deliveries
    await deliveries.resume(by="ada", skip_pending=False)
    assert await deliveries.paused() is None
    # Like the restore of a dump: the same values, written by another transaction.
    row = await database.fetchrow("select * from public.delivery_pause")
    await database.execute("delete from public.delivery_pause where one")
    await database.execute(
        "insert into public.delivery_pause (identity, written_by, reason) values ($1, $2, $3)",
        row["identity"],
        row["written_by"],
        row["reason"],
    )
    lease = await mailer.claim()
    assert isinstance(await mailer.begin(lease), Paused)
    await deliveries.resume(by="ada", skip_pending=False)
    assert isinstance(await mailer.begin(lease), Send)


async def test_a_restore_sends_nothing_and_mails_can_be_skipped(database: asyncpg.Connection, mailer: Mailer) -> None:
    deliveries = mailer.deliveries
    await deliveries.resume(by="ada", skip_pending=False)
    identity = await database.fetchval("select identity from public.delivery_pause")
    cluster, timeline, own_id = identity.split(".")
    for other in (f"1{cluster}.{timeline}.{own_id}", f"{cluster}.00000009.{own_id}", f"{cluster}.{timeline}.1"):
        async with database.transaction():
            await database.execute(
                "update public.delivery_pause set identity = $1, written_by = pg_current_xact_id()::xid::text"
                " where one",
                other,
            )
        assert "restored" in str(await deliveries.paused())
    lease = await mailer.claim()
    assert isinstance(await mailer.begin(lease), Paused)
    await deliveries.resume(by="ada", skip_pending=True)
    assert await deliveries.paused() is None
    assert (await mailer.begin(lease)).status is DeliveryStatus.SKIPPED
    await deliveries.pause("looking into it", by="ada")
    assert await deliveries.paused() == "ada: looking into it"


async def test_removing_a_reader_removes_all_its_data_even_during_work(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    readers = [await add_reader(client, email=f"r{n}@example.org", welcome=True) for n in range(12)]
    await clock.set("2026-11-24T07:00:00Z")
    await enqueued(client, database)
    worker = Claimer(client, kinds=[TaskKind.DIGEST])
    tasks = await worker.claim()
    for reader in readers:
        await record_shown(client, reader.reader_id, ["arxiv:2611.00001"])
        await ReaderPapers(client).save(reader.reader_id, PaperInput(keys=("doi:10.1/x",), doi="10.1/x"), True)
    before = await database.fetchval("select deadlocks from pg_stat_database where datname = current_database()")
    digest = {"papers": [{"title": "T"}], "news": []}
    outcomes = {task.lease: Completed({}, digest) for task in tasks}
    await asyncio.gather(
        worker.sync(outcomes), *(Readers(client).remove(reader.reader_id, "default") for reader in readers[1:])
    )
    kept = readers[0].reader_id
    tables = await database.fetch(
        "select table_name from information_schema.columns where column_name = 'reader_id' and table_schema = 'public'"
    )
    assert {"tasks", "digests", "deliveries", "readers", "readers_private", "shown_items", "reader_papers"} <= {
        row[0] for row in tables
    }
    for (table,) in tables:
        owners = {row[0] for row in await database.fetch(f"select distinct reader_id from public.{table}")}
        assert owners <= {kept}, table
    assert (
        await database.fetchval(
            "select count(*) from public.queue q where not exists"
            " (select from public.tasks t where t.task_id = q.task_id)"
        )
        == 0
    )
    assert (
        await database.fetchval("select deadlocks from pg_stat_database where datname = current_database()") == before
    )
