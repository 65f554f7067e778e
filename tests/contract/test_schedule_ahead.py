"""The schedule of a program that runs once a day: who is due before the next run has a digest now, and one only."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from supabase import AsyncClient

from app.persistence.readers import Readers
from app.persistence.schedule import Schedule
from tests.support.schedule import Clock, add_reader, payload

DAY = timedelta(days=1)
TASKS = """
select local_day, source_date, payload, status from public.tasks where kind = 'digest' order by local_day, created_at
"""


async def days_after(client: AsyncClient, database: asyncpg.Connection, clock: Clock, *moments: str) -> list[int]:
    """Run once at each moment of November 2026; returns for each the day of the digest that it created, or 0."""
    days, known = [], 0
    for moment in moments:
        await clock.set(f"2026-11-{moment}Z")
        await Schedule(client).enqueue_due(DAY)
        rows = await database.fetch(TASKS)
        assert len(rows) <= known + 1
        days.append(rows[-1]["local_day"].day if len(rows) > known else 0)
        known = len(rows)
    return days


async def test_a_reader_who_is_due_before_the_next_run_is_due(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T05:00:00Z")
    soon = await add_reader(client, name="Soon")
    await add_reader(client, name="Not today", weekdays=[3])
    assert await Schedule(client).enqueue_due(timedelta(minutes=119)) == 0
    assert await Schedule(client).enqueue_due(timedelta(minutes=120)) == 1
    (task,) = await database.fetch(TASKS)
    scheduled = payload(task)["scheduled"]
    assert (task["local_day"], task["source_date"]) == (date(2026, 11, 24), date(2026, 11, 23))
    assert (scheduled["reader_id"], scheduled["due_at"]) == (str(soon.reader_id), "2026-11-24T07:00:00+00:00")
    assert scheduled["next_due_at"] == "2026-11-25T07:00:00+00:00"
    assert (await Readers(client).get(soon.reader_id)).next_due_at == datetime(2026, 11, 25, 7, tzinfo=UTC)


async def test_an_early_digest_cancels_no_other_readers_digest(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T05:00:00Z")
    for send_at in ("08:00", "21:00"):
        await add_reader(client, send_at=send_at)
    assert await Schedule(client).enqueue_due(DAY) == 2
    await clock.set("2026-11-24T19:30:00Z")
    assert await Schedule(client).enqueue_due(DAY) == 1
    ends = sorted((row["local_day"].day, row["status"] or "pending") for row in await database.fetch(TASKS))
    assert ends == [(24, "cancelled"), (24, "pending"), (25, "pending")]


async def test_a_digest_of_tomorrow_is_about_the_last_complete_day(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T22:00:00Z")
    await add_reader(client)
    assert await Schedule(client).enqueue_due(DAY) == 1
    (task,) = await database.fetch(TASKS)
    assert (task["local_day"], task["source_date"]) == (date(2026, 11, 25), date(2026, 11, 23))


@pytest.mark.parametrize(
    ("moments", "days"),
    [
        (["24T06:00:00", "24T06:00:01", "24T17:59:00"], [24, 0, 0]),  # run again by hand
        (["24T09:00:00", "24T11:00:00", "25T09:00:00"], [25, 0, 26]),  # the reader's time is before the run's
        (["24T06:50:00", "25T07:10:00", "26T06:40:00", "27T07:00:01"], [24, 25, 26, 27]),  # late and early runs
        (["24T06:00:00", "26T06:00:00", "27T06:00:00"], [24, 26, 27]),  # a run is missed
        (["24T22:00:00", "25T22:00:00", "27T22:00:00", "28T22:00:00"], [25, 26, 28, 29]),
    ],
)
async def test_each_run_creates_one_digest_for_the_nearest_day(
    moments: list[str], days: list[int], client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set(f"2026-11-{moments[0]}Z")
    await add_reader(client)
    assert await days_after(client, database, clock, *moments) == days


async def test_a_missed_weekly_digest_is_made_up_within_a_day(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-23T06:00:00Z")
    await add_reader(client, weekdays=[2])
    # The run of Monday is missed, and that of Tuesday.
    assert await days_after(client, database, clock, "25T06:00:00", "26T06:00:00") == [24, 0]


async def test_a_digest_created_early_replaces_one_not_written(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T09:00:00Z")
    await add_reader(client)
    assert await days_after(client, database, clock, "24T09:00:00", "25T09:00:00") == [25, 26]
    assert [row["status"] for row in await database.fetch(TASKS)] == ["cancelled", None]
    assert await database.fetchval("select count(*) from public.queue") == 1


async def test_a_worker_that_runs_permanently_replaces_nothing(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    await add_reader(client)
    for moment in ("2026-11-24T07:00:00Z", "2026-11-25T07:00:00Z"):
        await clock.set(moment)
        assert await Schedule(client).enqueue_due() == 1
    assert [row["status"] for row in await database.fetch(TASKS)] == [None, None]


async def test_concurrent_runs_create_one_digest_per_reader(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    await database.execute(
        "insert into public.readers (name, timezone, send_at) select 'R', 'Europe/Berlin', '08:00'"
        " from generate_series(1, 200)"
    )
    counts = await asyncio.gather(*(Schedule(client, batch=30).enqueue_due(DAY) for _ in range(6)))
    assert sum(counts) == 200
    assert len(await database.fetch(TASKS)) == 200
