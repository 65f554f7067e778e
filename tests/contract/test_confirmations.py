"""An unconfirmed reader gets one mail and nothing else, until the button behind its link confirms the address."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import ConfirmationLimitReached, InvalidReader, NotUnconfirmed, ReaderNotFound
from app.persistence.confirmations import Confirmations
from app.persistence.deliveries import Deliveries
from app.persistence.maintenance import Maintenance
from app.persistence.readers import Readers, ReaderStatus
from tests.support.confirmations import a_day_passes, confirm, send_next, today, unconfirmed
from tests.support.mailer import FAILED, PENDING, Mailer
from tests.support.schedule import Clock, enqueued

ACTIVE, UNCONFIRMED = ReaderStatus.ACTIVE, ReaderStatus.UNCONFIRMED


async def kinds(client: AsyncClient) -> list[str]:
    return sorted(each.kind for each in (await Deliveries(client).page(None)).deliveries)


async def test_an_unconfirmed_reader_gets_one_mail_and_no_digest(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    reader = await unconfirmed(client, welcome=True)
    assert (reader.status, reader.next_due_at) == (UNCONFIRMED, None)
    await clock.advance(timedelta(days=2))
    assert await enqueued(client, database) == []
    assert await kinds(client) == ["confirmation"]
    sent = await send_next(client)
    assert (sent.mail.kind, sent.mail.email, sent.mail.digest) == ("confirmation", "ada@example.org", None)


async def test_two_confirmations_at_once_activate_a_reader_once(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    reader = await unconfirmed(client, welcome=True)
    for _ in range(2):
        assert await asyncio.gather(*(confirm(client, reader) for _ in range(8))) == ["confirmed"] * 8
    now = await Readers(client).get(reader.reader_id)
    assert now.status is ACTIVE
    assert now.next_due_at is not None
    assert await kinds(client) == ["confirmation", "welcome"]
    assert await database.fetchval("select count(*) from public.confirmations where confirmed_at is not null") == 1


async def test_a_reader_who_left_is_not_activated_by_its_old_link(client: AsyncClient) -> None:
    reader = await unconfirmed(client)
    await confirm(client, reader)
    await Readers(client).change(reader.reader_id, {"status": "unsubscribed"})
    assert await confirm(client, reader) == "confirmed"
    assert (await Readers(client).get(reader.reader_id)).status is ReaderStatus.UNSUBSCRIBED


@pytest.mark.parametrize("status", ["active", "paused"])
async def test_a_caller_cannot_activate_an_unconfirmed_reader(status: str, client: AsyncClient) -> None:
    reader, readers = await unconfirmed(client), Readers(client)
    with pytest.raises(InvalidReader, match="the reader is unconfirmed"):
        await readers.change(reader.reader_id, {"status": status})
    await readers.change(reader.reader_id, {"status": "unsubscribed"})
    assert (await readers.change(reader.reader_id, {"status": status})).status is UNCONFIRMED


async def test_other_readers_cannot_become_unconfirmed(client: AsyncClient) -> None:
    reader, readers = await unconfirmed(client, confirm=False), Readers(client)
    assert reader.status is ACTIVE
    with pytest.raises(InvalidReader, match="only its creation with confirm"):
        await readers.change(reader.reader_id, {"status": "unconfirmed"})
    changed = await readers.change(reader.reader_id, {"email": "other@example.org"})
    assert (changed.status, await kinds(client)) == (ACTIVE, [])


@pytest.mark.parametrize("confirmed_before", [False, True])
async def test_a_changed_address_must_be_confirmed(
    confirmed_before: bool, client: AsyncClient, database: asyncpg.Connection
) -> None:
    reader, readers = await unconfirmed(client), Readers(client)
    await send_next(client)
    if confirmed_before:
        await confirm(client, reader)
    assert (await readers.change(reader.reader_id, {"email": "ADA@example.org"})).status is not None
    assert await readers.link_generation(reader.reader_id) == 1, "only the letter case changed"
    changed = await readers.change(reader.reader_id, {"email": "new@example.org"})
    assert (changed.status, changed.next_due_at) == (UNCONFIRMED, None)
    assert await confirm(client, reader, generation=1) == "invalid", "the link went to the previous address"
    sent = await send_next(client)
    assert (sent.mail.email, sent.mail.link_generation) == ("new@example.org", 2)
    assert await confirm(client, reader, generation=2, day=sent.mail.local_day) == "confirmed"
    assert (await readers.get(reader.reader_id)).status is ACTIVE
    assert await database.fetchval("select count(*) from public.deliveries where kind = 'confirmation'") == 2


async def test_an_address_can_be_removed_and_is_confirmed_again(client: AsyncClient) -> None:
    reader, readers = await unconfirmed(client), Readers(client)
    with pytest.raises(InvalidReader, match="readers_unconfirmed_email"):
        await readers.change(reader.reader_id, {"email": None})
    await confirm(client, reader)
    assert (await readers.change(reader.reader_id, {"email": None})).status is ACTIVE
    assert (await readers.change(reader.reader_id, {"email": "ada@example.org"})).status is UNCONFIRMED


async def test_a_link_older_than_a_week_confirms_nothing(client: AsyncClient) -> None:
    reader = await unconfirmed(client)
    assert await confirm(client, reader, day=today() - timedelta(days=8)) == "invalid"
    assert await confirm(client, reader, generation=2) == "invalid"
    assert (await Readers(client).get(reader.reader_id)).status is UNCONFIRMED
    assert await confirm(client, reader, day=today() - timedelta(days=7)) == "confirmed"


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("ada@example.org", "ADA@Example.org", True),
        ("ada@example.org", "ada+news@example.org", True),
        ("a.da@gmail.com", "ada+x@googlemail.com", True),
        ("a.da@example.org", "ada@example.org", False),
        ("ada@example.org", "ada@example.net", False),
    ],
)
async def test_a_mailbox_gets_one_confirmation_a_day(
    first: str, second: str, same: bool, client: AsyncClient, database: asyncpg.Connection
) -> None:
    await unconfirmed(client, email=first)
    assert (await send_next(client)).verdict == "send"
    await unconfirmed(client, email=second, owner="bot")
    assert (await send_next(client)).verdict == ("stop" if same else "send")
    await a_day_passes(database)
    await unconfirmed(client, email=second, owner="bot")
    assert (await send_next(client)).verdict == "send"


async def test_concurrent_senders_send_one_confirmation(client: AsyncClient) -> None:
    for number in range(8):
        await unconfirmed(client, owner=f"caller{number}")
    decisions = await asyncio.gather(*(send_next(client) for _ in range(8)))
    assert sorted(each.verdict for each in decisions) == ["send", *["stop"] * 7]


async def test_an_address_gets_three_confirmations_in_thirty_days(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    verdicts = []
    for _ in range(5):
        await unconfirmed(client)
        verdicts.append((await send_next(client)).verdict)
        await a_day_passes(database)
    await a_day_passes(database, 25)
    await unconfirmed(client)
    verdicts.append((await send_next(client)).verdict)
    assert verdicts == ["send", "send", "send", "stop", "stop", "send"]


async def test_the_limit_allows_another_attempt_of_a_mail(client: AsyncClient) -> None:
    await unconfirmed(client)
    mailer = Mailer(client)
    lease = await mailer.claim()
    assert (await mailer.begin(lease)).verdict == "send"
    assert await mailer.end(lease, PENDING, reason="greylisted")
    assert (await mailer.begin(await mailer.retry(lease))).verdict == "send"


async def test_paused_deliveries_use_no_confirmation(client: AsyncClient, database: asyncpg.Connection) -> None:
    await unconfirmed(client)
    mailer = Mailer(client)
    await mailer.deliveries.pause("moving", by="root")
    assert (await mailer.begin(await mailer.claim())).verdict == "paused"
    assert await database.fetchval("select count(*) from public.confirmation_mails") == 0


async def test_a_bounce_ends_an_unconfirmed_reader(client: AsyncClient) -> None:
    reader = await unconfirmed(client)
    mailer = Mailer(client)
    lease = await mailer.claim()
    await mailer.begin(lease)
    assert await mailer.end(lease, FAILED, reason="no such user", bounce=True)
    assert (await Readers(client).get(reader.reader_id)).status is ReaderStatus.BOUNCED
    assert await confirm(client, reader) == "invalid"
    other = await unconfirmed(client, email="bob@example.org")
    await Deliveries(client).record_bounce(["bob@example.org"], "gone", complaint=False)
    assert (await Readers(client).get(other.reader_id)).status is ReaderStatus.BOUNCED


async def test_a_confirmation_is_requested_again_within_limits(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    reader, confirmations = await unconfirmed(client), Confirmations(client)
    await confirmations.resend(reader.reader_id)
    assert await kinds(client) == ["confirmation"], "the first mail is pending"
    await send_next(client)
    with pytest.raises(ConfirmationLimitReached) as limited:
        await confirmations.resend(reader.reader_id, "default")
    assert 86_000 < limited.value.retry_after <= 86_400
    await a_day_passes(database)
    await confirmations.resend(reader.reader_id)
    assert (await send_next(client)).verdict == "send"
    with pytest.raises(ReaderNotFound):
        await confirmations.resend(reader.reader_id, "bot")
    await confirm(client, reader)
    with pytest.raises(NotUnconfirmed, match="The reader is active"):
        await confirmations.resend(reader.reader_id)


async def test_a_confirmation_with_an_expired_link_is_not_sent(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await unconfirmed(client)
    mailer = Mailer(client)
    lease = await mailer.claim()
    await mailer.begin(lease)
    assert await mailer.end(lease, FAILED, reason="no route")
    await database.execute("update public.deliveries set local_day = local_day - 8 where true")
    await mailer.deliveries.resolve(mailer.delivery_id, PENDING, by="root")
    assert await database.fetchval("select count(*) from public.deliveries where status = 'pending'") == 1
    decision = await mailer.begin(await mailer.claim())
    assert (decision.verdict, decision.reason) == ("stop", "too late: the confirmation has expired")


async def test_readers_not_confirmed_within_a_week_are_removed(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    expired = [await unconfirmed(client, email=f"{n}@example.org") for n in range(3)]
    await send_next(client)
    kept = await unconfirmed(client, email="kept@example.org")
    await confirm(client, kept)
    await Readers(client).change(kept.reader_id, {"email": "moved@example.org"})
    left = await unconfirmed(client, email="left@example.org", confirm=False)
    maintenance = Maintenance(client, batch=2)
    assert (await maintenance.prune_sign_ups()).readers == 0
    await a_day_passes(database, 8)
    new = await unconfirmed(client, email="new@example.org")
    assert [(await maintenance.prune_sign_ups()).readers for _ in range(3)] == [2, 1, 0]
    found = {each.reader_id for each in await Readers(client).page(None)}
    assert found == {kept.reader_id, left.reader_id, new.reader_id}
    gone = [each.reader_id for each in expired]
    assert await database.fetchval("select count(*) from public.tasks where reader_id = any ($1)", gone) == 0
    assert await database.fetchval("select count(*) from public.deliveries where reader_id = any ($1)", gone) == 0


async def test_a_reader_without_an_address_is_not_removed(client: AsyncClient, database: asyncpg.Connection) -> None:
    reader = await unconfirmed(client)
    changed = await Readers(client).change(reader.reader_id, {"email": None, "status": "active"})
    assert (changed.status, changed.email) == (ACTIVE, None)
    await a_day_passes(database, 8)
    assert (await Maintenance(client, batch=1).prune_sign_ups()).readers == 0
    expired = await unconfirmed(client, email="bob@example.org")
    await a_day_passes(database, 8)
    assert (await Maintenance(client, batch=1).prune_sign_ups()).readers == 1, "the kept one does not fill the batch"
    assert [each.reader_id for each in await Readers(client).page(None)] == [reader.reader_id]
    assert await confirm(client, expired) == "invalid"


async def test_a_removal_leaves_a_reader_that_confirms_meanwhile(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    reader = await unconfirmed(client)
    await a_day_passes(database, 8)
    async with database.transaction():
        await database.execute("select 1 from public.readers for update")
        assert (await Maintenance(client).prune_sign_ups()).readers == 0, "it waits for no lock"
    assert await confirm(client, reader) == "confirmed"
    assert (await Maintenance(client).prune_sign_ups()).readers == 0


async def test_old_records_of_mails_are_removed(client: AsyncClient, database: asyncpg.Connection) -> None:
    await unconfirmed(client)
    await send_next(client)
    await a_day_passes(database, 29)
    assert (await Maintenance(client).prune_sign_ups()).addresses == 0
    await a_day_passes(database, 2)
    assert (await Maintenance(client).prune_sign_ups()).addresses == 1


async def test_the_record_of_a_mail_has_no_address(client: AsyncClient, database: asyncpg.Connection) -> None:
    await unconfirmed(client)
    await send_next(client)
    # The ids are hexadecimal, and may contain the name.
    columns = "(to_jsonb(m) - array['address_hash', 'delivery_id'])::text"
    row: Any = await database.fetchval(f"select {columns} from public.confirmation_mails m")
    assert "ada" not in row
    assert "@" not in await database.fetchval("select m::text from public.confirmation_mails m")
