"""Each local day has one mail at its time, also when clocks change or a time zone is removed."""

from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from zoneinfo import ZoneInfo

import asyncpg
from supabase import AsyncClient

from app.mail.text import long_day
from app.persistence.readers import Readers
from app.persistence.schedule import Schedule
from tests.support.reader_mails import ALL_DONE, LINKS, body, mails, read_day
from tests.support.running_worker import StartMailer, until
from tests.support.schedule import HOSTILE_ZONE, Clock, add_reader, break_zone
from tests.support.smtp_server import Postbox

# A local time that does not exist or exists twice, and its moment: shifted by the gap, or the second one.
CHANGES = [
    ("America/Los_Angeles", "02:30", date(2026, 3, 8), "2026-03-08T10:30:00Z"),
    ("Europe/Berlin", "02:30", date(2026, 3, 29), "2026-03-29T01:30:00Z"),
    ("Pacific/Auckland", "02:30", date(2026, 4, 5), "2026-04-04T14:30:00Z"),
    ("Australia/Lord_Howe", "01:45", date(2026, 4, 5), "2026-04-04T15:15:00Z"),
    ("Pacific/Auckland", "02:30", date(2026, 9, 27), "2026-09-26T14:30:00Z"),
    ("Australia/Lord_Howe", "02:15", date(2026, 10, 4), "2026-10-03T15:45:00Z"),
    ("Europe/Berlin", "02:30", date(2026, 10, 25), "2026-10-25T01:30:00Z"),
    ("America/Los_Angeles", "01:30", date(2026, 11, 1), "2026-11-01T09:30:00Z"),
    # The last and the first minute of a local day, which are in another UTC day.
    ("Pacific/Auckland", "00:00", date(2026, 9, 27), "2026-09-26T12:00:00Z"),
    ("America/Los_Angeles", "23:59", date(2026, 3, 8), "2026-03-09T06:59:00Z"),
]
A_DAY = timedelta(days=1)
SENT = "select exists (select from public.deliveries where reader_id = $1 and local_day = $2 and status = 'sent')"


def moment_of(day: date, send_at: str, timezone: str) -> datetime:
    """The moment at which an ordinary day is due."""
    return datetime.fromisoformat(f"{day} {send_at}").replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def assert_is_of(mail: EmailMessage, day: date) -> None:
    """The day is in the subject, the file name, the text, the page and the links."""
    assert mail["Subject"] == f"Nothing new for {long_day(day)}"
    assert f"digest-{day}-" in mail["Message-ID"]
    assert long_day(day) in body(mail, "plain")
    assert day.isoformat() in body(mail, "html")
    token = str(mail["List-Unsubscribe"]).strip("<>").rpartition("/")[2]
    assert LINKS.read("unsubscribe", token).day == day


async def test_each_local_day_has_one_mail_at_its_due_time(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, box: Postbox, start_mailer: StartMailer
) -> None:
    await start_mailer()
    schedule, got = Schedule(client), 0
    for timezone, send_at, change, moment in CHANGES:
        moments = {change: datetime.fromisoformat(moment), change + A_DAY: moment_of(change + A_DAY, send_at, timezone)}
        await clock.set(moments[change] - timedelta(hours=20))
        reader = await add_reader(
            client, email="a@example.org", timezone=timezone, send_at=send_at, when_empty="notify"
        )
        for day, due in moments.items():
            await read_day(client, due.date() - A_DAY)
            await clock.set(due - timedelta(seconds=1))
            assert await schedule.enqueue_due() == 0, f"too early: {day} in {timezone}"
            await clock.set(due)
            assert [await schedule.enqueue_due() for _ in range(2)] == [1, 0], f"{day} in {timezone}"
            await until(database, SENT, reader.reader_id, day)
            got += 1
            assert len(box.taken) == got
            assert_is_of(mails(box)[-1], day)
        await Readers(client).remove(reader.reader_id)


async def test_an_invalid_timezone_stops_only_its_own_readers(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, box: Postbox, start_mailer: StartMailer
) -> None:
    await start_mailer()
    await clock.set("2026-03-27T12:00:00Z")
    stays, moves = [
        await add_reader(client, email=f"{name}@example.org", send_at="02:30", when_empty="notify")
        for name in ("stays", "moves")
    ]

    async def whose_mails_came(moment: str) -> list[str]:
        before = len(box.taken)
        await read_day(client, datetime.fromisoformat(moment).date() - A_DAY)
        await clock.set(moment)
        await Schedule(client).enqueue_due()
        await until(database, ALL_DONE)
        return sorted(str(mail["To"]).rpartition("<")[2].partition("@")[0] for mail in mails(box)[before:])

    assert await whose_mails_came("2026-03-28T01:30:00Z") == ["moves", "stays"]
    await break_zone(database, moves.reader_id)
    assert await whose_mails_came("2026-03-29T01:30:00Z") == ["stays"]
    assert HOSTILE_ZONE in str((await Readers(client).get(moves.reader_id)).schedule_problem)
    await Readers(client).change(moves.reader_id, {"timezone": "Europe/Berlin"})
    assert await whose_mails_came("2026-03-30T00:30:00Z") == ["moves", "stays"]
    days = await database.fetch("select reader_id, array_agg(extract(day from local_day)::int order by local_day)"
                                " as days from public.deliveries group by 1")  # fmt: skip
    assert {row["reader_id"]: row["days"] for row in days} == {
        stays.reader_id: [28, 29, 30],
        moves.reader_id: [28, 30],
    }
