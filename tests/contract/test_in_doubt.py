"""Items of a mail that is being sent are in no other mail, and are new again if that mail is not sent."""

from datetime import timedelta

import asyncpg
import pytest
from supabase import AsyncClient

from app.persistence.deliveries import DeliveryLost, DeliveryStatus, Send, SkipDelivery
from app.persistence.operator import Operator
from app.persistence.outcomes import Completed, Failed
from embedded.stack import Ready
from tests.contract.actors import by
from tests.contract.mornings import TITLES, Mornings
from tests.support.items import copy, save
from tests.support.mailer import Mailer
from tests.support.schedule import Clock


@pytest.mark.parametrize("state", ["pending", "sending", "failed, and its task goes on"])
async def test_items_of_a_mail_being_sent_are_new_again_only_if_unsent(
    state: str, client: AsyncClient, database: asyncpg.Connection, mornings: Mornings
) -> None:
    assert await mornings.digest(23) == {TITLES[0]}
    # As after a change of the schedule or an admin's resolution: it may be sent after the next one.
    await database.execute("update public.deliveries set skip_after = null")
    mailer = Mailer(client)
    lease = None
    if state != "pending":
        lease = await mailer.claim()
        assert isinstance(await mailer.begin(lease), Send)
    if state.startswith("failed"):
        assert lease is not None
        assert await mailer.end(lease, DeliveryStatus.FAILED, reason="550 no")
    # Longer than the two days of overlap, as for a reader with one digest a week.
    for _ in range(3):
        await mornings.a_day_passes()
    await save(client, copy(external_id="2", title=TITLES[1]))
    assert await mornings.digest(24) == {TITLES[1]}
    later = Mailer(client)
    if state == "pending":
        lease = await mailer.claim()
        assert isinstance(await mailer.begin(lease), Send)
    assert lease is not None
    if not state.startswith("failed"):
        assert await mailer.end(lease, DeliveryStatus.FAILED, reason="550 no")
    await mailer.claimer.sync({lease: Failed("550 no", None)})
    second = await later.claim()
    assert isinstance(await later.begin(second), Send)
    assert await later.end(second, DeliveryStatus.SENT)
    await later.claimer.sync({second: Completed({})})
    await save(client, copy(external_id="3", title="New"))
    assert await mornings.digest(25) == {TITLES[0], "New"}


async def test_a_digest_counts_as_the_last_one_only_once_sent(client: AsyncClient, mornings: Mornings) -> None:
    await mornings.digest(23)
    mailer = Mailer(client)
    lease = await mailer.claim()
    await mailer.begin(lease)
    assert await mailer.end(lease, DeliveryStatus.FAILED, reason="550 no")
    await mailer.claimer.sync({lease: Failed("550 no", None)})
    assert await mornings.last() is None
    await mailer.deliveries.resolve(mailer.delivery_id, DeliveryStatus.PENDING, by="ada")
    again = await mailer.claim()
    await mailer.begin(again)
    assert await mailer.end(again, DeliveryStatus.SENT)
    assert await mornings.last() is not None


async def test_items_sent_meanwhile_are_shown_and_block_nothing(client: AsyncClient, mornings: Mornings) -> None:
    await mornings.digest(23)
    mailer = Mailer(client)
    lease = await mailer.claim()
    await mailer.begin(lease)
    assert await mornings.digest(24) == set()
    first = await mornings.last()
    assert await mailer.end(lease, DeliveryStatus.SENT)
    assert await mornings.news() == set()
    last = await mornings.last()
    assert last is not None
    assert first is None or last > first


async def test_a_late_mail_is_skipped_and_its_items_go_with_the_next(
    client: AsyncClient, mornings: Mornings, database: asyncpg.Connection
) -> None:
    await mornings.digest(23)
    assert await mornings.digest(24) == {TITLES[0]}
    rows = await database.fetch("select local_day, status, reason from public.deliveries order by local_day")
    assert [(row["local_day"].day, row["status"]) for row in rows] == [(23, "skipped"), (24, "pending")]
    assert rows[0]["reason"] == "too late: the next one is due"
    worker = Mailer(client)
    states = {}
    for _ in range(2):
        lease = await worker.claim()
        answer = await worker.begin(lease)
        states[(await worker.deliveries.get(worker.delivery_id)).local_day.day] = type(answer).__name__
    assert states == {23: "SkipDelivery", 24: "Send"}


async def test_late_mails_are_not_skipped_while_deliveries_are_paused(
    client: AsyncClient, mornings: Mornings, database: asyncpg.Connection
) -> None:
    await mornings.digest(23)
    await Mailer(client).deliveries.pause("a restored backup", by="ada")
    assert await mornings.digest(24) == set()
    assert await database.fetchval("select status from public.deliveries where local_day = '2026-11-23'") == "pending"


async def test_a_mail_that_starts_concurrently_counts_as_being_sent(
    client: AsyncClient, stack: Ready, clock: Clock, mornings: Mornings
) -> None:
    """Its sender has begun in time and holds the row's lock, while the next digest is due and reads the new items."""
    await mornings.digest(23)
    mailer = Mailer(client)
    lease = await mailer.claim()
    beginning = await asyncpg.connect(stack.database_url)
    try:
        async with beginning.transaction():
            ask = "select public.begin_sending($1, $2, null)::jsonb ->> 'verdict'"
            assert await beginning.fetchval(ask, mailer.delivery_id, lease.lease_token) == "send"
            await clock.set("2026-11-24T07:00:30Z")
            assert await mornings.news() == set()
    finally:
        await beginning.close()
    assert await mornings.news() == set()
    assert await mailer.status is DeliveryStatus.SENDING


async def test_a_repeated_request_is_not_an_earlier_attempt(client: AsyncClient, mornings: Mornings) -> None:
    await mornings.digest(23)
    mailer, within = Mailer(client), timedelta(hours=23)
    lease = await mailer.claim()
    for _ in range(2):
        assert (await mailer.begin(lease, repeatable_within=within)).begun_before is False
    again = await mailer.retry(lease)
    for _ in range(2):
        assert (await mailer.begin(again, repeatable_within=within)).begun_before is True
    assert await mailer.end(again, DeliveryStatus.PENDING, reason="429")
    assert isinstance(await mailer.begin(again, repeatable_within=within), DeliveryLost)
    assert (await mailer.begin(await mailer.retry(again), repeatable_within=within)).begun_before is False


async def test_a_permanent_refusal_ends_although_its_worker_died(client: AsyncClient, mornings: Mornings) -> None:
    await mornings.digest(23)
    mailer = Mailer(client)
    lease = await mailer.claim()
    await mailer.begin(lease)
    assert await mailer.end(lease, DeliveryStatus.FAILED, reason="550 no")
    again = await mailer.retry(lease)
    assert await mailer.begin(again) == SkipDelivery(verdict="stop", status=DeliveryStatus.FAILED, reason="550 no")
    await mailer.claimer.sync({again: Failed("550 no", None)})
    await Operator(client).replay(by(), again.task_id)
    assert isinstance(await mailer.begin(await mailer.claim()), Send)
