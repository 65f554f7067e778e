"""The items shown last are kept as long as the reader; the first window of a new reader does not move."""

from datetime import datetime

import asyncpg
import pytest
from supabase import AsyncClient

from app.persistence.deliveries import DeliveryStatus, Send, SkipDelivery
from app.persistence.maintenance import Maintenance
from app.persistence.outcomes import Completed, Failed
from app.persistence.readers import Readers
from tests.contract.mornings import TITLES, Mornings
from tests.support.items import age, copy, save
from tests.support.mailer import Mailer

ENDS = {"sent": DeliveryStatus.SENT, "in doubt": DeliveryStatus.IN_DOUBT}


async def mail(client: AsyncClient, state: DeliveryStatus) -> None:
    """Send the pending mail, with this result."""
    mailer = Mailer(client)
    lease = await mailer.claim()
    assert isinstance(await mailer.begin(lease), Send)
    assert await mailer.end(lease, state)
    ends = {DeliveryStatus.FAILED: Failed("550 no", None)}
    await mailer.claimer.sync({lease: ends.get(state, Completed({}))})


async def skip(client: AsyncClient, mornings: Mornings) -> None:
    """Let the pending mail become due while its reader is paused."""
    readers, mailer = Readers(client), Mailer(client)
    await readers.change(mornings.reader.reader_id, {"status": "paused"})
    lease = await mailer.claim()
    assert isinstance(await mailer.begin(lease), SkipDelivery)
    await mailer.claimer.sync({lease: Completed({})})
    await readers.change(mornings.reader.reader_id, {"status": "active"})


async def months_pass(client: AsyncClient, database: asyncpg.Connection, mornings: Mornings) -> datetime | None:
    """Make everything 31 days older, and run retention: it removes tasks, digests and deliveries."""
    for _ in range(31):
        await mornings.a_day_passes()
    await database.execute(
        "update public.tasks set finished_at = finished_at - interval '31 days' where finished_at is not null"
    )
    maintenance = Maintenance(client)
    assert (await maintenance.retain(task_days=30, edition_days=90)).tasks > 0
    assert await maintenance.retain_digests(digest_days=30) > 0
    await database.execute("delete from public.deliveries")
    found: datetime | None = await database.fetchval("select max(written_at) from public.shown_digests")
    return found


@pytest.mark.parametrize("end", ["fails", "is skipped"])
async def test_an_unsent_first_mail_loses_no_items(
    end: str, client: AsyncClient, database: asyncpg.Connection, mornings: Mornings
) -> None:
    await age(database, 6)
    for day in range(23, 27):
        assert await mornings.digest(day) == {TITLES[0]}
        await (mail(client, DeliveryStatus.FAILED) if end == "fails" else skip(client, mornings))
        for _ in range(2):
            await mornings.a_day_passes()
    assert await mornings.digest(27) == {TITLES[0]}
    assert await mornings.last() is None


@pytest.mark.parametrize("state", ENDS.values(), ids=ENDS)
async def test_a_reader_who_returns_after_a_month_is_not_new(
    state: DeliveryStatus, client: AsyncClient, database: asyncpg.Connection, mornings: Mornings
) -> None:
    await mornings.digest(23)
    await mail(client, state)
    shown = await months_pass(client, database, mornings)
    assert shown is not None
    assert await mornings.last() == shown
    await save(client, copy(external_id="2", title=TITLES[1]))
    await database.execute(
        "update public.items set first_seen = now() - interval '15 days' where first_seen > now() - interval '1 day'"
    )
    assert await mornings.news() == {TITLES[1]}


@pytest.mark.parametrize("why", ["no address", "nothing new"])
async def test_a_reader_without_mails_is_not_new_after_a_month(
    why: str, client: AsyncClient, database: asyncpg.Connection, mornings: Mornings
) -> None:
    if why == "no address":
        await Readers(client).change(mornings.reader.reader_id, {"email": None})
    else:
        await age(database, 30)
    await mornings.digest(23)
    shown = await months_pass(client, database, mornings)
    assert shown is not None
    assert await mornings.last() == shown


async def test_a_digest_with_a_pending_mail_was_not_shown(client: AsyncClient, mornings: Mornings) -> None:
    await mornings.digest(23)
    assert await mornings.last() is None
    await mail(client, DeliveryStatus.SENT)
    assert await mornings.last() is not None


async def test_shown_digests_are_removed_with_their_reader(
    client: AsyncClient, database: asyncpg.Connection, mornings: Mornings
) -> None:
    await mornings.digest(23)
    await mail(client, DeliveryStatus.SENT)
    await Readers(client).remove(mornings.reader.reader_id)
    assert await database.fetchval("select count(*) from public.shown_digests") == 0


async def test_the_last_of_the_old_shown_digests_is_kept(
    client: AsyncClient, database: asyncpg.Connection, mornings: Mornings
) -> None:
    await mornings.digest(23)
    await mail(client, DeliveryStatus.SENT)
    assert await mornings.digest(24) == set()
    await database.execute(
        "update public.shown_digests set written_at = written_at - interval '61 days' where local_day = '2026-11-23'"
    )
    assert await mornings.last() is not None
    days = await database.fetch("select local_day from public.shown_digests")
    assert [row["local_day"].day for row in days] == [24]
    await database.execute("update public.shown_digests set written_at = written_at - interval '400 days'")
    assert await mornings.last() is not None
