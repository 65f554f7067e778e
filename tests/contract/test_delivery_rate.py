"""The daily delivery rate: each reader who was due on the reader's own day counts once."""

import json

import asyncpg
import pytest
from supabase import AsyncClient

from app.conditions.condition import Observation
from app.conditions.report import report_of
from app.persistence.health import DeliveryRate, Health
from tests.support.digest_rows import digests_of_today

SPREAD_READERS = """
insert into public.readers (reader_id, name, timezone, send_at)
select rpad(lpad(to_hex(n * 512 + 1), 4, '0'), 32, '0')::uuid, 'R', 'UTC', '07:00' from generate_series(0, 127) n;
alter table public.readers disable trigger user;
update public.readers set next_due_at = now() - interval '3 hours';
alter table public.readers enable trigger user;
analyze public.readers"""
"""Readers without a task, whose ids are spread evenly."""


async def rate(client: AsyncClient, database: asyncpg.Connection) -> DeliveryRate:
    """The rate, computed now."""
    await database.execute("delete from public.delivery_rate where one")
    await Health(client).refresh_delivery_rate()
    found = (await Health(client).facts()).delivery_rate
    assert found is not None
    return found


async def conditions(client: AsyncClient) -> dict[str, str]:
    facts = await Health(client).facts()
    return {each.condition: each.text for each in report_of(Observation(facts, facts.at)).problems}


async def test_each_reader_who_was_due_counts_once(client: AsyncClient, database: asyncpg.Connection) -> None:
    await digests_of_today(database, "sent", 3)
    await digests_of_today(database, "sent", 1, sent_after="2 hours")
    await digests_of_today(database, "skipped", 2, reason="there was nothing new")
    await digests_of_today(database, "skipped", 1, reason="too late: the next one is due")
    for status in ("failed", "in_doubt", "pending", None):
        await digests_of_today(database, status, 1)
    await digests_of_today(database, "pending", 1, due="10 minutes")
    await digests_of_today(database, None, 1, email=None, written=True)
    found = await rate(client, database)
    assert (found.sent, found.late, found.missing, found.pending) == (4, 1, 4, 1)
    assert [(each.reason, each.readers) for each in found.skipped] == [
        ("there was nothing new", 2),
        ("too late: the next one is due", 1),
    ]
    assert (found.due, found.delivered) == (12, 7)


async def test_readers_who_are_not_due_today_do_not_count(client: AsyncClient, database: asyncpg.Connection) -> None:
    await digests_of_today(database, "failed", 3, day="1 day")
    assert (await rate(client, database)).due == 0


async def test_a_due_reader_without_a_task_is_missing(client: AsyncClient, database: asyncpg.Connection) -> None:
    await digests_of_today(database, None, 2, task=False)
    assert (await rate(client, database)).missing == 2


@pytest.mark.parametrize(("most", "sample"), [(32, 4), (128, 1)])
async def test_many_readers_are_estimated_from_a_sample(database: asyncpg.Connection, most: int, sample: int) -> None:
    await database.execute(SPREAD_READERS)
    assert await database.fetchval("select public.readers_per_sample($1)", most) == sample
    outcomes = await database.fetch("select * from public.deliveries_today(now(), $1)", sample)
    assert len(outcomes) == 128 / sample
    found = json.loads(await database.fetchval("select public.daily_deliveries($1)", most))
    assert (found["missing"], found["due"], found["sample"]) == (128, 128, sample)


@pytest.mark.parametrize(("sent", "failed", "holds"), [(9, 1, False), (8, 2, True), (7, 2, False)])
async def test_below_90_percent_of_ten_readers_is_a_condition(
    sent: int, failed: int, holds: bool, client: AsyncClient, database: asyncpg.Connection
) -> None:
    await digests_of_today(database, "sent", sent)
    await digests_of_today(database, "failed", failed)
    await rate(client, database)
    found = await conditions(client)
    assert ("delivery_rate_low" in found) is holds
    if holds:
        text = "Only 80 % of today's 10 digests arrived: 8 sent, 0 late, 2 missing."
        assert found["delivery_rate_low"] == text


async def test_the_rate_is_computed_once_a_minute(client: AsyncClient, database: asyncpg.Connection) -> None:
    await rate(client, database)
    await digests_of_today(database, "sent", 1)
    await Health(client).refresh_delivery_rate()
    facts = await Health(client).facts()
    assert facts.delivery_rate is not None
    assert facts.delivery_rate.due == 0
    await database.execute("update public.delivery_rate set computed_at = now() - interval '51 seconds'")
    await Health(client).refresh_delivery_rate()
    facts = await Health(client).facts()
    assert facts.delivery_rate is not None
    assert facts.delivery_rate.due == 1


async def test_a_rate_that_is_not_current_is_not_judged(client: AsyncClient, database: asyncpg.Connection) -> None:
    await digests_of_today(database, "failed", 10)
    await rate(client, database)
    assert "delivery_rate_low" in await conditions(client)
    await database.execute("update public.delivery_rate set computed_at = now() - interval '11 minutes'")
    assert "delivery_rate_low" not in await conditions(client)


async def test_a_call_does_not_wait_for_one_that_computes(client: AsyncClient, database: asyncpg.Connection) -> None:
    await rate(client, database)
    await database.execute("update public.delivery_rate set computed_at = now() - interval '51 seconds'")
    async with database.transaction():
        await database.execute("select from public.delivery_rate for update")
        await Health(client).refresh_delivery_rate()
    assert await database.fetchval("select computed_at < now() - interval '50 seconds' from public.delivery_rate")
