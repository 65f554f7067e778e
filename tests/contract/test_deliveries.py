"""Deliveries: made with their digest, sent by one lease at a time, at most once, and never silently lost."""

import asyncio
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import DeliveryNotFound, NotToBeSettled
from app.models import TaskKind
from app.persistence.deliveries import Deliveries, Delivery, DeliveryState, Lost, Paused, Send, Stop
from app.persistence.outcomes import Completed, Failed, Lease, Released, Snoozed
from app.persistence.reader_papers import GivenPaper, ReaderPapers
from app.persistence.readers import Reader, Readers, ReaderStatus
from app.persistence.tasks import TaskStateManager
from tests.contract.helpers import Claimer, expire_lease, somebody_waits
from tests.contract.schedule import Clock, add_reader, enqueued, write_digests

SENT: Final = DeliveryState.SENT
FAILED: Final = DeliveryState.FAILED
AMBIGUOUS: Final = DeliveryState.AMBIGUOUS
PENDING: Final = DeliveryState.PENDING
NOW = timedelta(0)
A_DAY = timedelta(hours=24)


class Mailer:
    """What a worker's handler of deliveries does, a step at a time."""

    def __init__(self, client: AsyncClient) -> None:
        self.claimer = Claimer(client, kinds=[TaskKind.DELIVERY])
        self.deliveries = Deliveries(client)
        self.delivery_id = UUID(int=0)

    async def claim(self) -> Lease:
        task = await self.claimer.claim_one()
        self.delivery_id = UUID(task.payload["delivery_id"])
        return task.lease

    async def begin(self, lease: Lease, *, repeatable_within: timedelta | None = None) -> Any:
        return await self.deliveries.begin(self.delivery_id, lease, repeatable_within=repeatable_within)

    async def end(self, lease: Lease, state: Any, **more: Any) -> bool:
        return await self.deliveries.end(self.delivery_id, lease, state, **more)

    async def retry(self, lease: Lease) -> Lease:
        """The attempt fails, and the task is claimed again at once."""
        await self.claimer.sync({lease: Failed("once more", NOW)})
        return await self.claim()

    @property
    async def state(self) -> DeliveryState:
        return (await self.deliveries.get(self.delivery_id)).state


@pytest.fixture
async def reader(client: AsyncClient, database: asyncpg.Connection, clock: Clock) -> Reader:
    """A reader whose digest of November 24 is written, and whose delivery waits."""
    await clock.set("2026-11-24T06:00:00Z")
    reader = await add_reader(client, address="ada@example.org")
    await clock.set("2026-11-24T07:00:00Z")
    await enqueued(client, database)
    assert await write_digests(client, "T") == 1
    return reader


@pytest.fixture
async def mailer(client: AsyncClient, reader: Reader) -> Mailer:
    assert reader.address is not None
    return Mailer(client)


async def the_one(client: AsyncClient) -> Delivery:
    (delivery,) = (await Deliveries(client).page(None)).deliveries
    return delivery


async def shown(database: asyncpg.Connection) -> list[str]:
    return [row["key"] for row in await database.fetch("select key from public.shown order by key")]


async def test_a_digest_ends_with_its_delivery_and_the_mail_has_all_it_needs(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader, mailer: Mailer
) -> None:
    waiting = await the_one(client)
    assert (waiting.state, waiting.reader_id, waiting.local_day) == (PENDING, reader.reader_id, date(2026, 11, 24))
    lease = await mailer.claim()
    begun = await mailer.begin(lease)
    assert isinstance(begun, Send)
    assert (begun.mail.name, begun.mail.address, begun.mail.link_generation) == ("Ada", "ada@example.org", 1)
    assert begun.mail.digest is not None
    assert begun.mail.digest.page == "<p>page</p>"
    assert await mailer.end(lease, SENT, provider_id="p-1")
    await mailer.claimer.sync({lease: Completed({})})
    found = await the_one(client)
    assert (found.state, found.provider_id) == (SENT, "p-1")
    assert await database.fetchval("select reader_id from public.digests") == reader.reader_id


async def test_a_digest_that_was_ordered_or_has_no_address_makes_none(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    await add_reader(client)
    await clock.set("2026-11-24T07:00:00Z")
    await enqueued(client, database)
    await TaskStateManager(client).create_task_with_source_date(
        task_id=uuid4(), kind=TaskKind.DIGEST, payload={}, source_date=date(2026, 11, 23)
    )
    assert await write_digests(client, "T") == 2
    assert (await Deliveries(client).page(None)).deliveries == ()
    assert await database.fetchval("select count(*) from public.digests") == 2


@pytest.mark.parametrize(("on_nothing", "state"), [("nothing", DeliveryState.SKIPPED), ("line", PENDING)])
async def test_nothing_new_is_sent_or_not_by_the_readers_choice_and_recorded(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, on_nothing: str, state: DeliveryState
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    await add_reader(client, address="ada@example.org", on_nothing=on_nothing)
    await clock.set("2026-11-24T07:00:00Z")
    await enqueued(client, database)
    await write_digests(client)
    assert (await the_one(client)).state == state
    tasks = await database.fetchval("select count(*) from public.tasks where kind = 'delivery'")
    assert tasks == (1 if state is PENDING else 0)


async def test_the_same_lease_is_the_same_sender_and_no_other_is(client: AsyncClient, mailer: Mailer) -> None:
    lease = await mailer.claim()
    first = await mailer.begin(lease)
    assert (await mailer.begin(lease)).mail == first.mail
    stranger = Lease(lease.task_id, uuid4())
    assert isinstance(await mailer.begin(stranger), Lost)
    assert not await mailer.end(stranger, SENT)
    assert await mailer.end(lease, SENT)
    assert await mailer.end(lease, SENT), "said again, it counts as said"
    assert not await mailer.end(lease, FAILED)
    assert isinstance(await mailer.begin(lease), Stop)
    assert (await the_one(client)).state is SENT


async def test_who_gave_the_task_back_begins_nothing(mailer: Mailer) -> None:
    lease = await mailer.claim()
    await mailer.claimer.sync({lease: Released()})
    assert isinstance(await mailer.begin(lease), Lost)


async def test_who_would_send_waits_for_what_is_decided_at_this_moment(
    database: asyncpg.Connection, mailer: Mailer
) -> None:
    lease = await mailer.claim()
    async with database.transaction():
        await database.execute("update public.deliveries set state = 'skipped', reason = 'too late'")
        asking = asyncio.create_task(mailer.begin(lease))
        await somebody_waits(database)
    assert await asking == Stop(verdict="stop", state=DeliveryState.SKIPPED, reason="too late")


async def test_what_surely_was_not_sent_is_tried_again_and_a_late_question_begins_nothing(mailer: Mailer) -> None:
    lease = await mailer.claim()
    assert isinstance(await mailer.begin(lease), Send)
    assert await mailer.end(lease, PENDING, reason="451 greylisted")
    assert isinstance(await mailer.begin(lease), Lost), "a repetition that comes late must not begin anything"
    assert await mailer.state is PENDING
    again = await mailer.retry(lease)
    assert isinstance(await mailer.begin(again), Send)
    assert not await mailer.end(lease, SENT), "the lease before has no say any more"
    assert await mailer.end(again, SENT)


async def test_a_sender_that_died_leaves_a_doubt_that_nobody_sends_again(
    client: AsyncClient, database: asyncpg.Connection, mailer: Mailer
) -> None:
    lease = await mailer.claim()
    assert isinstance(await mailer.begin(lease), Send)
    await expire_lease(database, lease.task_id)
    other = Mailer(client)
    await other.claimer.sync()
    answer = await other.begin(await other.claim())
    assert answer == Stop(verdict="stop", state=AMBIGUOUS, reason="its sender was lost while it sent")
    # The one that was thought dead may yet say what it knows, but cannot make it pending.
    assert not await mailer.end(lease, PENDING)
    assert await mailer.end(lease, SENT)
    assert await mailer.state is SENT


async def test_what_may_have_been_sent_was_shown_and_so_was_what_nobody_sends(
    client: AsyncClient, database: asyncpg.Connection, mailer: Mailer
) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    assert await shown(database) == []
    await mailer.end(lease, AMBIGUOUS)
    assert await shown(database) == ["title:t"]
    await add_reader(client, address=None)
    await database.execute("update public.readers set next_due_at = next_due_at - interval '1 day'")
    await enqueued(client, database)
    await write_digests(client, "Alone")
    assert await shown(database) == ["title:alone", "title:t"]


async def test_a_word_waits_for_whoever_takes_its_sender_for_lost_at_this_moment(
    database: asyncpg.Connection, mailer: Mailer
) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    async with database.transaction():
        await database.execute("update public.deliveries set state = 'ambiguous'")
        saying = asyncio.create_task(mailer.end(lease, PENDING))
        await somebody_waits(database)
    assert not await saying
    assert await mailer.state is AMBIGUOUS


async def test_a_provider_that_knows_its_key_gets_the_same_mail_again(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader, mailer: Mailer
) -> None:
    lease = await mailer.claim()
    first = await mailer.begin(lease, repeatable_within=A_DAY)
    await Readers(client).change(reader.reader_id, {"name": "Somebody", "address": "other@example.org"})
    again = await mailer.retry(lease)
    second = await mailer.begin(again, repeatable_within=A_DAY)
    assert (second.mail, first.begun_before, second.begun_before) == (first.mail, False, True), (
        "the same to the byte, whatever was changed meanwhile"
    )
    await database.execute("update public.deliveries set begun_at = begun_at - interval '25 hours'")
    third = await mailer.begin(await mailer.retry(again), repeatable_within=A_DAY)
    assert isinstance(third, Stop)
    assert third.state is AMBIGUOUS


@pytest.mark.parametrize("sending", [True, False])
async def test_a_task_that_ends_for_good_leaves_no_delivery_open(
    client: AsyncClient, mailer: Mailer, sending: bool
) -> None:
    lease = await mailer.claim()
    if sending:
        await mailer.begin(lease)
    await mailer.claimer.sync({lease: Failed("550 no", None)})
    found = await the_one(client)
    assert (found.state, found.reason) == (
        (AMBIGUOUS, "its sender was lost while it sent") if sending else (FAILED, "550 no")
    )


async def test_a_cancelled_task_skips_its_delivery(client: AsyncClient, mailer: Mailer) -> None:
    waiting = await the_one(client)
    assert waiting.task_id is not None
    await TaskStateManager(client).cancel_task(waiting.task_id)
    assert (await the_one(client)).state is DeliveryState.SKIPPED
    assert await mailer.claimer.claim() == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "unsubscribed"}, "the reader is unsubscribed"),
        ({"status": "paused"}, "the reader is paused"),
        ({"address": None}, "the reader has no address"),
        ({}, "it came too late: the next one is due"),
    ],
)
async def test_what_must_not_be_sent_any_more_is_skipped(
    client: AsyncClient, clock: Clock, reader: Reader, mailer: Mailer, changes: dict[str, Any], reason: str
) -> None:
    lease = await mailer.claim()
    if changes:
        await Readers(client).change(reader.reader_id, changes)
    else:
        await clock.set("2026-11-25T07:00:00Z")
    assert await mailer.begin(lease) == Stop(verdict="stop", state=DeliveryState.SKIPPED, reason=reason)


async def test_a_bounce_stops_the_readers_mail_and_says_why(
    client: AsyncClient, reader: Reader, mailer: Mailer
) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    assert await mailer.end(lease, FAILED, reason="550 5.1.1 no such user", bounce=True)
    stopped = await Readers(client).get(reader.reader_id)
    assert (stopped.status, stopped.status_reason) == (ReaderStatus.BOUNCED, "550 5.1.1 no such user")
    assert stopped.next_due_at is None


async def test_a_providers_word_stops_all_who_are_at_the_address(client: AsyncClient, reader: Reader) -> None:
    readers, deliveries = Readers(client), Deliveries(client)
    other = await readers.create("eve", {"reader_id": str(uuid4()), "name": "Eve", "address": reader.address})
    away = await readers.create("ada", {"reader_id": str(uuid4()), "name": "A", "address": "away@example.org"})
    assert reader.address is not None
    assert await deliveries.record_bounce(["nobody@example.org"], "gone", complaint=False) == 0
    assert await deliveries.record_bounce(["x@example.org", reader.address.upper()], "gone", complaint=False) == 2
    assert await deliveries.record_bounce([reader.address], "gone again", complaint=False) == 0
    for each in (reader, other):
        stopped = await readers.get(each.reader_id)
        assert (stopped.status, stopped.status_reason) == (ReaderStatus.BOUNCED, "gone")
    assert await deliveries.record_bounce([reader.address], "spam", complaint=True) == 2
    assert await deliveries.record_bounce([reader.address], "spam", complaint=True) == 0
    assert (await readers.get(other.reader_id)).status is ReaderStatus.UNSUBSCRIBED
    assert (await readers.get(away.reader_id)).status is ReaderStatus.ACTIVE


async def test_admins_settle_what_is_in_doubt_and_nothing_else(mailer: Mailer) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    with pytest.raises(NotToBeSettled):
        await mailer.deliveries.settle(mailer.delivery_id, SENT, by="ada")
    await mailer.end(lease, AMBIGUOUS, reason="the connection broke after the final dot")
    await mailer.claimer.sync({lease: Completed({})})
    for _ in range(2):
        settled = await mailer.deliveries.settle(mailer.delivery_id, PENDING, by="ada")
        assert (settled.state, settled.settled_by) == (PENDING, "ada")
    again = await mailer.claim()
    assert again.task_id != lease.task_id
    assert isinstance(await mailer.begin(again), Send)
    await mailer.end(again, AMBIGUOUS)
    assert await mailer.end(again, SENT), "the doubt is a new one"
    with pytest.raises(NotToBeSettled):
        await mailer.deliveries.settle(mailer.delivery_id, PENDING, by="ada")


async def test_after_an_admins_word_no_other_counts(mailer: Mailer) -> None:
    again = await mailer.claim()
    await mailer.begin(again)
    await mailer.end(again, AMBIGUOUS)
    assert (await mailer.deliveries.settle(mailer.delivery_id, FAILED, by="ada")).state is FAILED
    assert not await mailer.end(again, SENT)
    with pytest.raises(DeliveryNotFound):
        await mailer.deliveries.settle(uuid4(), SENT, by="ada")


async def test_a_delivery_that_waits_does_not_run_out_of_patience(database: asyncpg.Connection, mailer: Mailer) -> None:
    lease = await mailer.claim()
    for _ in range(2):
        await mailer.claimer.sync({lease: Snoozed(NOW, "paused")})
        await database.execute("update public.queue set snoozed_since = snoozed_since - interval '5 hours'")
        lease = await mailer.claim()
    assert isinstance(await mailer.begin(lease), Send)


async def test_a_welcome_is_made_once_beside_the_day(client: AsyncClient, clock: Clock) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    reader = await add_reader(client, external_id="ada", address="ada@example.org", welcome=True)
    again = {"reader_id": str(uuid4()), "external_id": "ada", "name": "Ada", "welcome": True}
    await Readers(client).bring_in("default", [again])
    welcome = await the_one(client)
    assert (welcome.kind, welcome.reader_id) == ("welcome", reader.reader_id)
    mailer = Mailer(client)
    begun = await mailer.begin(await mailer.claim())
    assert isinstance(begun, Send)
    assert begun.mail.digest is None


async def test_lists_are_newest_first_with_pages_and_filters(client: AsyncClient, database: asyncpg.Connection) -> None:
    await database.execute(
        "insert into public.deliveries (delivery_id, owner, reader_id, kind, local_day, state, created_at)"
        " select gen_random_uuid(), case when n % 2 = 0 then 'ada' else 'bob' end, gen_random_uuid(), 'digest',"
        " '2026-11-24', case when n % 5 = 0 then 'ambiguous' else 'sent' end, now() - n * interval '1 minute'"
        " from generate_series(1, 250) n"
    )
    deliveries, found, cursor = Deliveries(client), list[Delivery](), None
    while True:
        page = await deliveries.page("ada", limit=100, cursor=cursor)
        found += page.deliveries
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len({delivery.delivery_id for delivery in found}) == 125
    assert found == sorted(found, key=lambda delivery: delivery.created_at, reverse=True)
    assert len((await deliveries.page("bob", state=AMBIGUOUS)).deliveries) == 25
    assert len((await deliveries.page(None, reader_id=found[0].reader_id)).deliveries) == 1


async def test_a_restored_dump_sends_nothing_until_an_admin_says_so(
    database: asyncpg.Connection, mailer: Mailer
) -> None:
    deliveries = mailer.deliveries
    await deliveries.resume(by="ada", skip_pending=False)
    assert await deliveries.paused() is None
    # What a dump does: the same values, written by another transaction.
    row = await database.fetchrow("select * from public.delivery_gate")
    await database.execute("delete from public.delivery_gate where one")
    await database.execute(
        "insert into public.delivery_gate (identity, written_by, reason) values ($1, $2, $3)",
        row["identity"],
        row["written_by"],
        row["reason"],
    )
    lease = await mailer.claim()
    assert isinstance(await mailer.begin(lease), Paused)
    await deliveries.resume(by="ada", skip_pending=False)
    assert isinstance(await mailer.begin(lease), Send)


async def test_another_cluster_or_timeline_sends_nothing_and_what_waited_can_be_left_out(
    database: asyncpg.Connection, mailer: Mailer
) -> None:
    deliveries = mailer.deliveries
    await deliveries.resume(by="ada", skip_pending=False)
    identity = await database.fetchval("select identity from public.delivery_gate")
    cluster, timeline, own_id = identity.split(".")
    for other in (f"1{cluster}.{timeline}.{own_id}", f"{cluster}.00000009.{own_id}", f"{cluster}.{timeline}.1"):
        async with database.transaction():
            await database.execute(
                "update public.delivery_gate set identity = $1, written_by = pg_current_xact_id()::xid::text where one",
                other,
            )
        assert "restored" in str(await deliveries.paused())
    lease = await mailer.claim()
    assert isinstance(await mailer.begin(lease), Paused)
    await deliveries.resume(by="ada", skip_pending=True)
    assert await deliveries.paused() is None
    assert (await mailer.begin(lease)).state is DeliveryState.SKIPPED
    await deliveries.pause("looking into it", by="ada")
    assert await deliveries.paused() == "ada: looking into it"


async def test_removing_a_reader_removes_everything_about_it_also_while_it_is_worked_for(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    readers = [await add_reader(client, address=f"r{n}@example.org", welcome=True) for n in range(12)]
    await clock.set("2026-11-24T07:00:00Z")
    await enqueued(client, database)
    worker = Claimer(client, kinds=[TaskKind.DIGEST])
    tasks = await worker.claim()
    for reader in readers:
        await client.rpc("mark_shown", {"p_reader": str(reader.reader_id), "p_keys": ["arxiv:2611.00001"]}).execute()
        await ReaderPapers(client).save(reader.reader_id, GivenPaper(keys=("doi:10.1/x",), doi="10.1/x"), True)
    before = await database.fetchval("select deadlocks from pg_stat_database where datname = current_database()")
    digest = {"digest": {"papers": [{"title": "T"}], "news": []}, "page": "p"}
    outcomes = {task.lease: Completed({}, digest) for task in tasks}
    await asyncio.gather(
        worker.sync(outcomes), *(Readers(client).remove(reader.reader_id, "default") for reader in readers[1:])
    )
    kept = readers[0].reader_id
    tables = await database.fetch(
        "select table_name from information_schema.columns where column_name = 'reader_id' and table_schema = 'public'"
    )
    assert {"tasks", "digests", "deliveries", "readers", "readers_private", "shown", "reader_papers"} <= {
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
