"""The daily fetch: its times, its days and its keys."""

from datetime import UTC, date, datetime, time, timedelta
from typing import cast
from zoneinfo import ZoneInfo

import pytest

from app.config.fetch_times import AFTER_ARXIV, FetchTimes
from app.errors import SupabaseUnavailable
from app.persistence.idempotency_keys import daily_key
from app.persistence.tasks import TaskStateManager
from worker.periodic.daily_fetch import DailyFetch

TIMES = FetchTimes((time(18, 30), time(6)))


class DayOver(Exception):
    """Ends the periodic job after its day."""


class Day:
    """A day in which the periodic job sleeps without waiting; it records the requests and their times."""

    def __init__(self, now: datetime, until: datetime, *, fails: int = 0) -> None:
        self.now = now
        self.requests: list[tuple[datetime, date, datetime]] = []
        self._until = until
        self._fails = fails

    async def ensure_fetch(self, source_date: date, *, due: datetime) -> None:
        if self._fails:
            self._fails -= 1
            raise SupabaseUnavailable("down")
        self.requests.append((self.now, source_date, due))

    async def _sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 3600
        self.now += timedelta(seconds=seconds)
        if self.now >= self._until:
            raise DayOver

    async def spend(self, times: FetchTimes = TIMES) -> None:
        periodic_job = DailyFetch(cast(TaskStateManager, self), times, now=lambda: self.now, sleep=self._sleep)
        with pytest.raises(DayOver):
            await periodic_job.run()


async def test_each_run_checks_the_last_four_days() -> None:
    day = Day(datetime(2026, 11, 24, 5, 10, tzinfo=UTC), datetime(2026, 11, 25, 5, 0, tzinfo=UTC))
    await day.spend()
    keys = {daily_key(due, source_date).key for _, source_date, due in day.requests}
    dates = [f"2026-11-{number}" for number in (20, 21, 22, 23)]
    assert keys == {f"daily:2026-11-24:{at}:{date}" for at in ("06:00:00", "18:30:00") for date in dates}
    assert [source_date.day for _, source_date, _ in day.requests[:4]] == [23, 22, 21, 20], "the newest first"
    assert day.requests[0][0] == datetime(2026, 11, 24, 6, tzinfo=UTC), "on time"
    assert datetime(2026, 11, 24, 18, 30, tzinfo=UTC) in {at for at, _, _ in day.requests}


async def test_a_late_worker_requests_only_the_latest_time() -> None:
    day = Day(datetime(2026, 11, 24, 20, tzinfo=UTC), datetime(2026, 11, 24, 20, 1, tzinfo=UTC))
    await day.spend()
    assert {due for _, _, due in day.requests} == {datetime(2026, 11, 24, 18, 30, tzinfo=UTC)}


async def test_after_midnight_nothing_is_requested_before_the_time() -> None:
    day = Day(datetime(2026, 11, 25, 0, 0, tzinfo=UTC), datetime(2026, 11, 25, 6, 0, tzinfo=UTC))
    await day.spend()
    assert day.requests == []


async def test_a_failed_request_is_repeated_after_a_minute() -> None:
    day = Day(datetime(2026, 11, 24, 6, tzinfo=UTC), datetime(2026, 11, 24, 6, 30, tzinfo=UTC), fails=2)
    await day.spend()
    assert {at for at, _, _ in day.requests} == {datetime(2026, 11, 24, 6, 2, tzinfo=UTC)}
    assert len(day.requests) == 4


@pytest.mark.parametrize(
    ("begins", "requests"),
    [
        (datetime(2026, 1, 14, 5, tzinfo=UTC), ["05:30", "11:30"]),
        (datetime(2026, 7, 14, 4, tzinfo=UTC), ["04:30", "10:30"]),
    ],
    ids=["winter", "summer"],
)
async def test_the_default_follows_daylight_saving_time(begins: datetime, requests: list[str]) -> None:
    day = Day(begins, begins + timedelta(hours=20))
    await day.spend(AFTER_ARXIV)
    assert [f"{due:%H:%M}" for due in sorted({due for _, _, due in day.requests})] == requests
    assert {due.date() for _, _, due in day.requests} == {begins.date()}
    newest = {max(date for _, date, of in day.requests if of == due) for _, _, due in day.requests}
    assert newest == {begins.date() - timedelta(days=1)}


@pytest.mark.parametrize(
    ("day", "at", "expected"),
    [
        (
            date(2026, 3, 8),
            time(2, 30),
            datetime(2026, 3, 8, 7, 30, tzinfo=UTC),
        ),  # this time does not exist on that day
        (
            date(2026, 11, 1),
            time(1, 30),
            datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
        ),  # this time occurs twice on that day
    ],
)
def test_each_time_occurs_once_on_a_clock_change_day(day: date, at: time, expected: datetime) -> None:
    times, moment, came = FetchTimes((at,), "America/New_York"), datetime.combine(day, time(4), UTC), set[datetime]()
    while (moment := times.next(moment)).date() == day:
        came.add(moment)
    assert came == {expected}
    assert times.latest(expected) == expected


def test_a_reader_in_berlin_has_the_morning_fetch_at_seven() -> None:
    """docs/READERS.md is right on every day of two years, also while only one of both zones has changed its clocks."""
    for number in range(2 * 365):
        seven = datetime.combine(date(2026, 1, 1) + timedelta(days=number), time(7), ZoneInfo("Europe/Berlin"))
        due = AFTER_ARXIV.latest(seven.astimezone(UTC))
        assert due is not None
        assert timedelta(minutes=30) <= seven - due <= timedelta(hours=1.5)
        announced = due.astimezone(ZoneInfo("America/New_York")) - timedelta(hours=4, minutes=30)
        assert announced.time() == time(20), "arXiv's announcement came before it"


@pytest.mark.parametrize(
    ("now", "last"),
    [
        (datetime(2026, 11, 24, 5, 59, tzinfo=UTC), datetime(2026, 11, 23, 18, 30, tzinfo=UTC)),
        (datetime(2026, 11, 24, 6, tzinfo=UTC), datetime(2026, 11, 24, 6, tzinfo=UTC)),
        (datetime(2026, 11, 24, 23, tzinfo=UTC), datetime(2026, 11, 24, 18, 30, tzinfo=UTC)),
    ],
)
def test_a_single_run_uses_the_last_time_of_any_day(now: datetime, last: datetime) -> None:
    assert TIMES.last(now) == last
    assert FetchTimes().last(now) is None
