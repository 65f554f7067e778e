"""Deliveries: created with their digest, sent under one lease at a time, at most once, never lost without a status."""

import asyncio
import json
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.deliveries import Deliveries, Delivery, DeliveryLost, DeliveryStatus, Send, SkipDelivery
from app.persistence.outcomes import Completed, Failed, Lease, Released, Snoozed
from app.persistence.readers import Reader, Readers
from app.persistence.tasks import TaskStateManager
from tests.support.mailer import FAILED, IN_DOUBT, PENDING, SENT, Mailer, the_one
from tests.support.schedule import Clock, add_reader, enqueued, write_digests
from tests.support.tasks import SOON, expire_lease, somebody_waits

A_DAY = timedelta(hours=24)


async def shown(database: asyncpg.Connection) -> list[str]:
    return [row["key"] for row in await database.fetch("select key from public.shown_items order by key")]


async def test_a_finished_digest_has_a_delivery_with_all_mail_data(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader, mailer: Mailer
) -> None:
    waiting = await the_one(client)
    assert (waiting.status, waiting.reader_id, waiting.local_day) == (PENDING, reader.reader_id, date(2026, 11, 24))
    lease = await mailer.claim()
    begun = await mailer.begin(lease)
    assert isinstance(begun, Send)
    assert (begun.mail.name, begun.mail.email, begun.mail.link_generation) == ("Ada", "ada@example.org", 1)
    assert begun.mail.digest == json.loads(await database.fetchval("select digest from public.digests"))
    assert await mailer.end(lease, SENT, provider_id="p-1")
    await mailer.claimer.sync({lease: Completed({})})
    found = await the_one(client)
    assert (found.status, found.provider_id) == (SENT, "p-1")
    assert await database.fetchval("select reader_id from public.digests") == reader.reader_id


async def test_a_posted_digest_or_one_without_address_has_no_delivery(
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


@pytest.mark.parametrize(("when_empty", "state"), [("skip", DeliveryStatus.SKIPPED), ("notify", PENDING)])
async def test_an_empty_digest_is_sent_or_skipped_as_the_reader_chose(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, when_empty: str, state: DeliveryStatus
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    await add_reader(client, email="ada@example.org", when_empty=when_empty)
    await clock.set("2026-11-24T07:00:00Z")
    await enqueued(client, database)
    await write_digests(client)
    assert (await the_one(client)).status == state
    tasks = await database.fetchval("select count(*) from public.tasks where kind = 'delivery'")
    assert tasks == (1 if state is PENDING else 0)


async def test_only_the_same_lease_is_the_same_sender(client: AsyncClient, mailer: Mailer) -> None:
    lease = await mailer.claim()
    first = await mailer.begin(lease)
    assert (await mailer.begin(lease)).mail == first.mail
    stranger = Lease(lease.task_id, uuid4())
    assert isinstance(await mailer.begin(stranger), DeliveryLost)
    assert not await mailer.end(stranger, SENT)
    assert await mailer.end(lease, SENT)
    assert await mailer.end(lease, SENT), "a repeated report succeeds"
    assert not await mailer.end(lease, FAILED)
    assert isinstance(await mailer.begin(lease), SkipDelivery)
    assert (await the_one(client)).status is SENT


async def test_a_sender_that_returned_its_task_cannot_begin(mailer: Mailer) -> None:
    lease = await mailer.claim()
    await mailer.claimer.sync({lease: Released()})
    assert isinstance(await mailer.begin(lease), DeliveryLost)


async def test_a_sender_waits_for_an_uncommitted_decision(database: asyncpg.Connection, mailer: Mailer) -> None:
    lease = await mailer.claim()
    async with database.transaction():
        await database.execute("update public.deliveries set status = 'skipped', reason = 'too late'")
        asking = asyncio.create_task(mailer.begin(lease))
        await somebody_waits(database)
    assert await asking == SkipDelivery(verdict="stop", status=DeliveryStatus.SKIPPED, reason="too late")


async def test_an_unsent_mail_is_retried_and_a_late_begin_is_refused(mailer: Mailer) -> None:
    lease = await mailer.claim()
    assert isinstance(await mailer.begin(lease), Send)
    assert await mailer.end(lease, PENDING, reason="451 greylisted")
    assert isinstance(await mailer.begin(lease), DeliveryLost), "a late repetition must not begin a sending"
    assert await mailer.status is PENDING
    again = await mailer.retry(lease)
    assert isinstance(await mailer.begin(again), Send)
    assert not await mailer.end(lease, SENT), "the previous lease is no longer valid"
    assert await mailer.end(again, SENT)


async def test_a_lost_senders_delivery_is_in_doubt_and_not_resent(
    client: AsyncClient, database: asyncpg.Connection, mailer: Mailer
) -> None:
    lease = await mailer.claim()
    assert isinstance(await mailer.begin(lease), Send)
    await expire_lease(database, lease.task_id)
    other = Mailer(client)
    await other.claimer.sync()
    answer = await other.begin(await other.claim())
    assert answer == SkipDelivery(verdict="stop", status=IN_DOUBT, reason="its sender was lost while sending")
    # The worker whose lease expired may still report the result, but cannot set it to pending.
    assert not await mailer.end(lease, PENDING)
    assert await mailer.end(lease, SENT)
    assert await mailer.status is SENT


async def test_items_are_shown_if_in_doubt_or_never_to_be_mailed(
    client: AsyncClient, database: asyncpg.Connection, mailer: Mailer
) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    assert await shown(database) == []
    await mailer.end(lease, IN_DOUBT)
    assert await shown(database) == ["title:t"]
    await add_reader(client, address=None)
    await database.execute("update public.readers set next_due_at = next_due_at - interval '1 day'")
    await enqueued(client, database)
    await write_digests(client, "Alone")
    assert await shown(database) == ["title:alone", "title:t"]


async def test_an_outcome_waits_while_its_sender_is_declared_lost(database: asyncpg.Connection, mailer: Mailer) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    async with database.transaction():
        await database.execute("update public.deliveries set status = 'in_doubt'")
        saying = asyncio.create_task(mailer.end(lease, PENDING))
        await somebody_waits(database)
    assert not await saying
    assert await mailer.status is IN_DOUBT


async def test_a_mail_is_repeated_to_a_provider_that_knows_its_key(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader, mailer: Mailer
) -> None:
    lease = await mailer.claim()
    first = await mailer.begin(lease, repeatable_within=A_DAY)
    await Readers(client).change(reader.reader_id, {"name": "Somebody", "email": "other@example.org"})
    again = await mailer.retry(lease)
    second = await mailer.begin(again, repeatable_within=A_DAY)
    assert (second.mail, first.begun_before, second.begun_before) == (first.mail, False, True), (
        "the same bytes, whatever was changed meanwhile"
    )
    await database.execute("update public.deliveries set begun_at = begun_at - interval '25 hours'")
    third = await mailer.begin(await mailer.retry(again), repeatable_within=A_DAY)
    assert isinstance(third, SkipDelivery)
    assert third.status is IN_DOUBT


@pytest.mark.parametrize("sending", [True, False])
async def test_a_permanent_failure_leaves_no_delivery_open(client: AsyncClient, mailer: Mailer, sending: bool) -> None:
    lease = await mailer.claim()
    if sending:
        await mailer.begin(lease)
    await mailer.claimer.sync({lease: Failed("550 no", None)})
    found = await the_one(client)
    assert (found.status, found.reason) == (IN_DOUBT if sending else FAILED, "550 no")


async def test_a_cancelled_task_skips_its_delivery(client: AsyncClient, mailer: Mailer) -> None:
    waiting = await the_one(client)
    assert waiting.task_id is not None
    await TaskStateManager(client).cancel_task(waiting.task_id)
    assert (await the_one(client)).status is DeliveryStatus.SKIPPED
    assert await mailer.claimer.claim() == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "unsubscribed"}, "the reader is unsubscribed"),
        ({"status": "paused"}, "the reader is paused"),
        ({"email": None}, "the reader has no e-mail address"),
        ({}, "too late: the next one is due"),
    ],
)
async def test_a_delivery_that_must_not_be_sent_any_more_is_skipped(
    client: AsyncClient, clock: Clock, reader: Reader, mailer: Mailer, changes: dict[str, Any], reason: str
) -> None:
    lease = await mailer.claim()
    if changes:
        await Readers(client).change(reader.reader_id, changes)
    else:
        await clock.set("2026-11-25T07:00:00Z")
    assert await mailer.begin(lease) == SkipDelivery(verdict="stop", status=DeliveryStatus.SKIPPED, reason=reason)


async def test_a_waiting_delivery_has_no_time_limit(database: asyncpg.Connection, mailer: Mailer) -> None:
    lease = await mailer.claim()
    for _ in range(2):
        await mailer.claimer.sync({lease: Snoozed(SOON, "paused")})
        await database.execute("update public.queue set snoozed_since = snoozed_since - interval '5 hours'")
        lease = await mailer.claim()
    assert isinstance(await mailer.begin(lease), Send)


async def test_a_welcome_mail_is_created_once_beside_the_daily_one(client: AsyncClient, clock: Clock) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    reader = await add_reader(client, external_id="ada", email="ada@example.org", welcome=True)
    again = {"reader_id": str(uuid4()), "external_id": "ada", "name": "Ada", "welcome": True}
    await Readers(client).import_readers("default", [again])
    welcome = await the_one(client)
    assert (welcome.kind, welcome.reader_id) == ("welcome", reader.reader_id)
    mailer = Mailer(client)
    begun = await mailer.begin(await mailer.claim())
    assert isinstance(begun, Send)
    assert begun.mail.digest is None


async def test_lists_are_newest_first_with_pages_and_filters(client: AsyncClient, database: asyncpg.Connection) -> None:
    await database.execute(
        "insert into public.deliveries (delivery_id, owner, reader_id, kind, local_day, status, created_at)"
        " select gen_random_uuid(), case when n % 2 = 0 then 'ada' else 'bob' end, gen_random_uuid(), 'digest',"
        " '2026-11-24', case when n % 5 = 0 then 'in_doubt' else 'sent' end, now() - n * interval '1 minute'"
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
    assert len((await deliveries.page("bob", status=IN_DOUBT)).deliveries) == 25
    assert len((await deliveries.page(None, reader_id=found[0].reader_id)).deliveries) == 1
