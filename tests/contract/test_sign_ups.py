"""Sign-ups: within limits that all processes share, and without a difference between known and unknown addresses."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import InvalidReader, SignUpLimitReached
from app.persistence.confirmations import Confirmations
from app.persistence.deliveries import Deliveries
from app.persistence.maintenance import Maintenance
from app.persistence.readers import Readers, ReaderStatus
from app.persistence.sign_ups import SignUpFigures, SignUpLimits, SignUps
from tests.support.confirmations import (
    MANY,
    NETWORK,
    a_day_passes,
    confirm,
    send_next,
    sign_up,
    signed_up,
    unconfirmed,
)
from tests.support.schedule import add_reader
from tests.support.tasks import everything

STATUSES = [status for status in ReaderStatus if status is not ReaderStatus.UNCONFIRMED]


async def rows(database: asyncpg.Connection) -> Counter[str]:
    """The number of rows of each table."""
    found = await everything(database)
    return Counter({table: len(content) for table, content in found.items()})


async def accepted(client: AsyncClient, email: str, network: str, limits: SignUpLimits) -> bool:
    try:
        await sign_up(client, email, network, limits)
    except SignUpLimitReached:
        return False
    return True


@pytest.mark.parametrize("status", STATUSES)
async def test_a_known_address_causes_the_same_writes_and_no_mail(
    status: ReaderStatus, client: AsyncClient, database: asyncpg.Connection
) -> None:
    known = await add_reader(client, email="Known@example.org", owner="bot", status=status)
    written = []
    for email in ("unknown@example.org", "known@EXAMPLE.org"):
        before = await rows(database)
        await sign_up(client, email)
        written.append((await rows(database)) - before)
    assert written[0] == written[1]
    assert written[0].total() > 4
    first, second = await send_next(client), await send_next(client)
    assert (first.mail.email, second.verdict) == ("unknown@example.org", "stop")
    assert second.reason == "the address belongs to another reader"
    assert await Readers(client).get(known.reader_id) == known


async def test_a_sign_up_for_a_known_address_is_removed(client: AsyncClient, database: asyncpg.Connection) -> None:
    known = await add_reader(client, email="ada@example.org")
    await sign_up(client, "ada@example.org")
    waiting = await signed_up(client, "bob@example.org")
    await send_next(client)
    assert (await Maintenance(client).prune_sign_ups()).readers == 1
    found = {each.reader_id for each in await Readers(client).page(None)}
    assert found == {known.reader_id, waiting.reader_id}
    assert await database.fetchval("select count(*) from public.deliveries where status = 'pending'") == 1


async def test_a_sign_up_with_a_mail_stays_when_another_is_skipped(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    reader = await signed_up(client, "ada@example.org")
    first = await send_next(client)
    await a_day_passes(database)
    await Confirmations(client).resend(reader.reader_id)
    await Deliveries(client).resume(by="root", skip_pending=True)
    assert (await Maintenance(client).prune_sign_ups()).readers == 0
    assert await confirm(client, reader, day=first.mail.local_day) == "confirmed", "the first link is still valid"


async def test_a_repeated_sign_up_is_one(client: AsyncClient) -> None:
    form, one = uuid4(), SignUpLimits(per_hour=1, per_network=1)
    await asyncio.gather(*(sign_up(client, "ada@example.org", limits=one, sign_up_id=form) for _ in range(8)))
    await sign_up(client, "ada@example.org", limits=one, sign_up_id=form)
    (reader,) = await Readers(client).page(None)
    assert reader.status is ReaderStatus.UNCONFIRMED


@pytest.mark.parametrize("known", [True, False])
async def test_a_late_repetition_does_not_reveal_a_known_address(
    known: bool, client: AsyncClient, database: asyncpg.Connection
) -> None:
    form, address = uuid4(), "ada@example.org"
    if known:
        await add_reader(client, email=address)
    await sign_up(client, address, sign_up_id=form)
    await send_next(client)
    await database.execute("update public.sign_ups set requested_at = requested_at - interval '61 minutes'")
    await Maintenance(client).prune_sign_ups()
    limits = SignUpLimits(per_hour=100, per_network=1)
    await sign_up(client, "mallory@example.org", limits=limits)
    with pytest.raises(SignUpLimitReached):
        await sign_up(client, address, limits=limits, sign_up_id=form)


@pytest.mark.parametrize(("per_hour", "per_network", "wanted"), [(7, 100, 7), (100, 3, 12), (100, 100, 40)])
async def test_concurrent_sign_ups_stay_within_the_limits(
    per_hour: int, per_network: int, wanted: int, client: AsyncClient
) -> None:
    limits = SignUpLimits(per_hour, per_network)
    calls = [accepted(client, f"{n}@example.org", f"192.0.{n % 4}.0/24", limits) for n in range(40)]
    assert sum(await asyncio.gather(*calls)) == wanted
    figures = await SignUps(client).figures()
    assert figures.last_hour == wanted
    # Which calls come first is chance, so the accepted ones need not be spread evenly over the four networks.
    assert -(-wanted // 4) <= figures.busiest_network <= min(per_network, 10)


async def test_a_refused_sign_up_says_when_to_try_again(client: AsyncClient, database: asyncpg.Connection) -> None:
    limits = SignUpLimits(per_hour=2, per_network=1)
    await sign_up(client, "a@example.org", NETWORK, limits)
    await database.execute("update public.sign_ups set requested_at = requested_at - interval '20 minutes'")
    with pytest.raises(SignUpLimitReached) as network:
        await sign_up(client, "b@example.org", NETWORK, limits)
    assert 2_300 < network.value.retry_after <= 2_400
    assert await accepted(client, "c@example.org", "198.51.100.0/24", limits)
    assert not await accepted(client, "d@example.org", "203.0.113.0/24", limits)
    await database.execute("update public.sign_ups set requested_at = requested_at - interval '40 minutes'")
    assert await accepted(client, "d@example.org", NETWORK, limits)


async def test_an_unknown_time_zone_is_refused_and_counts_nothing(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    row: dict[str, Any] = {"reader_id": str(uuid4()), "name": "a", "email": "a@example.org", "send_at": "07:00"}
    with pytest.raises(InvalidReader, match="Mars/Olympus"):
        await SignUps(client).accept(uuid4(), "default", row | {"timezone": "Mars/Olympus"}, NETWORK, MANY)
    assert (await rows(database)).total() - (await rows(database))["delivery_pause"] == 0


async def test_two_confirmed_sign_ups_of_an_address_are_one_reader(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    first, again = await signed_up(client, "ada@example.org"), await signed_up(client, "Ada@example.org")
    assert [(await send_next(client)).verdict for _ in range(2)] == ["send", "stop"]
    await a_day_passes(database)
    third = await signed_up(client, "ada@example.org")
    assert (await send_next(client)).verdict == "send"
    outcomes = await asyncio.gather(*(confirm(client, each) for each in (first, third)))
    assert sorted(outcomes) == ["confirmed", "known"]
    statuses = [each.status.value for each in await Readers(client).page(None)]
    assert sorted(statuses) == ["active", "unconfirmed", "unconfirmed"]
    assert await confirm(client, again) == "known"


async def test_a_confirmed_sign_up_gets_a_welcome_mail(client: AsyncClient) -> None:
    reader = await signed_up(client, "ada@example.org")
    await send_next(client)
    await confirm(client, reader)
    assert (await send_next(client)).mail.kind == "welcome"


async def test_a_callers_reader_may_have_a_known_address(client: AsyncClient) -> None:
    await add_reader(client, email="ada@example.org", owner="bot")
    reader = await unconfirmed(client)
    assert (await send_next(client)).verdict == "send"
    assert await confirm(client, reader) == "confirmed"


async def test_the_records_of_sign_ups_are_kept_for_an_hour(client: AsyncClient, database: asyncpg.Connection) -> None:
    await sign_up(client, "ada@example.org")
    assert (await Maintenance(client).prune_sign_ups()).sign_ups == 0
    await database.execute("update public.sign_ups set requested_at = requested_at - interval '1 hour'")
    assert await SignUps(client).figures() == SignUpFigures(last_hour=0, busiest_network=0, mails_last_day=0)
    assert (await Maintenance(client).prune_sign_ups()).sign_ups == 1
