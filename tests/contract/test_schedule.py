"""The schedule: one digest per reader and local day, despite time zones, clock changes, outages and callers."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import InvalidReader
from app.models.profiles import Profile
from app.persistence.readers import Readers, ReaderStatus
from app.persistence.schedule import Schedule
from tests.support.schedule import HOSTILE_ZONE, Clock, add_reader, break_zone, enqueued, payload


async def test_a_due_reader_gets_one_task_and_the_next_time_is_set(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T06:59:59Z")
    profile = {"interests": ["graphs"], "exclude": ["blockchain"], "max_papers": 3}
    reader = await add_reader(client, profile=profile)
    assert reader.next_due_at == datetime(2026, 11, 24, 7, tzinfo=UTC)
    assert await enqueued(client, database) == []
    await clock.set("2026-11-24T07:00:00Z")
    assert await enqueued(client, database) == [(reader.reader_id, date(2026, 11, 24))]
    task = await database.fetchrow("select t.*, q.run_at from public.tasks t join public.queue q using (task_id)")
    stored = payload(task)
    assert Profile.model_validate(stored["profile"]).name == "Ada"
    assert stored["profile"]["exclude"] == ["blockchain"]
    assert (stored["max_papers"], stored["max_news"]) == (3, 6)
    assert stored["scheduled"]["next_due_at"] == "2026-11-25T07:00:00+00:00"
    assert (task["owner"], task["source_date"]) == (reader.owner, date(2026, 11, 23))
    assert (await Readers(client).get(reader.reader_id)).next_due_at == datetime(2026, 11, 25, 7, tzinfo=UTC)
    # A restored backup makes the reader due again: the day has a task and gets no second one.
    await database.execute("update public.readers set next_due_at = '2026-11-24T07:00:00Z'")
    assert len(await enqueued(client, database)) == 1


async def test_concurrent_calls_create_one_task_per_reader(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    await database.execute(
        "insert into public.readers (name, timezone, send_at) select 'R', 'Europe/Berlin', '08:00'"
        " from generate_series(1, 500)"
    )
    await clock.set("2026-11-24T07:30:00Z")
    counts = await asyncio.gather(*(Schedule(client, batch=70).enqueue_due() for _ in range(8)))
    assert sum(counts) == 500
    assert len(await enqueued(client, database)) == 500
    assert await database.fetchval("select count(*) from public.queue") == 500


@pytest.mark.parametrize(
    ("timezone", "send_at", "begin", "days", "expected"),
    [
        # 02:30 does not exist on March 29: one digest, an hour later on the local clock.
        ("Europe/Berlin", "02:30", "2026-03-27T12:00Z", 3, ["28 01:30", "29 01:30", "30 00:30"]),
        # 02:30 exists twice on October 25: one digest.
        ("Europe/Berlin", "02:30", "2026-10-23T12:00Z", 3, ["24 00:30", "25 01:30", "26 01:30"]),
        # Lord Howe changes by half an hour: 02:15 does not exist on October 4, 01:45 exists twice on April 5.
        ("Australia/Lord_Howe", "02:15", "2026-10-02T00:00Z", 3, ["02 15:45", "03 15:45", "04 15:15"]),
        ("Australia/Lord_Howe", "01:45", "2026-04-03T00:00Z", 3, ["03 14:45", "04 15:15", "05 15:15"]),
        ("Pacific/Auckland", "07:00", "2026-09-24T20:00Z", 3, ["25 19:00", "26 18:00", "27 18:00"]),
        ("America/Los_Angeles", "23:59", "2026-03-07T12:00Z", 2, ["08 07:59", "09 06:59"]),
        # The hour before midnight does not exist on March 28 in Nuuk: 23:30 is shifted to the next day.
        ("America/Nuuk", "23:30", "2026-03-27T12:00Z", 3, ["28 01:30", "29 01:30", "30 00:30"]),
    ],
)
async def test_a_clock_change_gives_one_digest_of_a_day(
    client: AsyncClient,
    database: asyncpg.Connection,
    clock: Clock,
    timezone: str,
    send_at: str,
    begin: str,
    days: int,
    expected: list[str],
) -> None:
    await clock.set(begin)
    await add_reader(client, timezone=timezone, send_at=send_at)
    moment = await clock.now()
    # Every quarter of an hour of these days.
    for _ in range(days * 24 * 4):
        moment += timedelta(minutes=15)
        if moment >= await database.fetchval("select min(next_due_at) from public.readers"):
            await clock.set(moment)
            await Schedule(client).enqueue_due()
    rows = await database.fetch("select local_day, payload from public.tasks order by local_day")
    due = [datetime.fromisoformat(payload(row)["scheduled"]["due_at"]).astimezone(UTC) for row in rows]
    assert [f"{moment:%d %H:%M}" for moment in due] == expected
    assert len({row["local_day"] for row in rows}) == len(rows) == days


async def test_only_the_latest_digest_missed_in_a_day_is_made_up(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-20T00:00:00Z")  # a Friday
    daily = await add_reader(client)
    await add_reader(client, weekdays=[6])
    sundays = await add_reader(client, weekdays=[7])
    await clock.set("2026-11-23T06:30:00Z")  # Monday, half an hour before the next one
    due = await enqueued(client, database)
    assert sorted(due) == sorted([(daily.reader_id, date(2026, 11, 22)), (sundays.reader_id, date(2026, 11, 22))])
    planned = await database.fetch("select next_due_at from public.readers order by 1")
    assert [f"{row['next_due_at']:%a %d}" for row in planned] == ["Mon 23", "Sat 28", "Sun 29"]


async def test_a_new_or_changed_schedule_begins_at_its_next_occurrence(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T07:00:01Z")
    readers = Readers(client)
    reader = await add_reader(client)
    assert reader.next_due_at == datetime(2026, 11, 25, 7, tzinfo=UTC)
    moved = await readers.change(reader.reader_id, {"timezone": "America/Los_Angeles"})
    assert moved.next_due_at == datetime(2026, 11, 24, 16, tzinfo=UTC)
    later = await readers.change(reader.reader_id, {"send_at": "21:00", "weekdays": [4]})
    assert later.next_due_at == datetime(2026, 11, 27, 5, tzinfo=UTC)
    renamed = await readers.change(reader.reader_id, {"name": "Ada L."})
    assert renamed.next_due_at == later.next_due_at
    for status in (ReaderStatus.PAUSED, ReaderStatus.UNSUBSCRIBED, ReaderStatus.BOUNCED):
        assert (await readers.change(reader.reader_id, {"status": status})).next_due_at is None
    again = await readers.change(reader.reader_id, {"status": "active"})
    assert again.next_due_at == later.next_due_at
    assert (await readers.change(reader.reader_id, {"timezone": None, "send_at": None})).next_due_at is None
    await clock.set("2026-12-24T07:00:00Z")
    assert await enqueued(client, database) == []


async def test_a_time_before_the_schedule_began_is_not_due(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T15:00:00Z")
    reader = await add_reader(client)
    # As after a change of the time zone's rules: due, although its time was hours ago.
    began = datetime(2026, 11, 24, 14, 59, tzinfo=UTC)
    await database.execute("update public.readers set next_due_at = $1", began)
    assert await enqueued(client, database) == []
    planned = (await Readers(client).get(reader.reader_id)).next_due_at
    assert planned == datetime(2026, 11, 25, 7, tzinfo=UTC)


async def test_a_moved_schedule_gives_no_second_digest_of_a_day(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    reader = await add_reader(client)
    await clock.set("2026-11-24T07:00:00Z")
    await enqueued(client, database)
    for send_at, moment in (("09:00", "08:00"), ("23:00", "22:00")):
        await Readers(client).change(reader.reader_id, {"send_at": send_at})
        await clock.set(f"2026-11-24T{moment}:00Z")
        assert await enqueued(client, database) == [(reader.reader_id, date(2026, 11, 24))]
    assert (await Readers(client).get(reader.reader_id)).next_due_at == datetime(2026, 11, 25, 22, tzinfo=UTC)


async def test_a_reader_with_a_removed_time_zone_stops_no_other(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    broken, sound = await add_reader(client), await add_reader(client)
    await break_zone(database, broken.reader_id)
    await clock.set("2026-11-24T07:00:00Z")
    assert await enqueued(client, database) == [(sound.reader_id, date(2026, 11, 24))]
    aside = await Readers(client).get(broken.reader_id)
    assert aside.next_due_at is None
    assert aside.schedule_problem is not None
    assert HOSTILE_ZONE in aside.schedule_problem
    # Everything else can still be changed, and a valid time zone repairs it.
    await Readers(client).change(broken.reader_id, {"name": "B", "status": "paused"})
    resumed = await Readers(client).change(broken.reader_id, {"status": "active"})
    assert resumed.schedule_problem is not None
    mended = await Readers(client).change(broken.reader_id, {"timezone": "Europe/Paris"})
    assert (mended.schedule_problem, mended.next_due_at) == (None, datetime(2026, 11, 25, 7, tzinfo=UTC))


NO_ZONES = ["", "CET", "EST5EDT", "Foo/Bar3", "<x>3", "posix/Europe/Berlin", "+02", "Europe/Nowhere", "x" * 99, "CEST"]
NO_ZONES += ["../../etc/passwd", "Europe/Berlin ", "europe/berlin", "Europe/Berlin\n", "'; select 1", "localtime"]


@pytest.mark.parametrize("timezone", NO_ZONES)
async def test_only_existing_time_zones_are_accepted(client: AsyncClient, timezone: str) -> None:
    with pytest.raises(InvalidReader):
        await add_reader(client, timezone=timezone)


async def test_every_time_zone_with_a_place_is_accepted(database: asyncpg.Connection) -> None:
    refused = await database.fetch(
        "select name from pg_timezone_names where name like '%/%' and name !~ '^(posix|right|SystemV|Etc)/'"
        " and not public.timezone_is_known(name)"
    )
    assert [row["name"] for row in refused] == []
    assert await database.fetchval("select count(*) from pg_timezone_names") > 400
