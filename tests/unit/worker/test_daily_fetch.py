"""When the daily fetch asks, for which days, and under which keys."""

from datetime import UTC, date, datetime, time, timedelta
from typing import cast

import pytest

from app.errors import SupabaseUnavailable
from app.persistence.idempotency_keys import daily_key
from app.persistence.tasks import TaskStateManager
from worker.chores.daily_fetch import DailyFetch

TIMES = [time(18, 30), time(6)]


class Over(Exception):
    """The chore's day is over."""


class Day:
    """A day on which the chore sleeps as it wants; what it asked for, and when."""

    def __init__(self, now: datetime, until: datetime, *, fails: int = 0) -> None:
        self.now = now
        self.asked: list[tuple[datetime, date, datetime]] = []
        self._until = until
        self._fails = fails

    async def ensure_fetch(self, source_date: date, *, due: datetime) -> None:
        if self._fails:
            self._fails -= 1
            raise SupabaseUnavailable("down")
        self.asked.append((self.now, source_date, due))

    async def _sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 3600
        self.now += timedelta(seconds=seconds)
        if self.now >= self._until:
            raise Over

    async def spend(self) -> None:
        chore = DailyFetch(cast(TaskStateManager, self), TIMES, now=lambda: self.now, sleep=self._sleep)
        with pytest.raises(Over):
            await chore.run()


async def test_each_time_looks_at_the_last_four_days() -> None:
    day = Day(datetime(2026, 11, 24, 5, 10, tzinfo=UTC), datetime(2026, 11, 25, 5, 0, tzinfo=UTC))
    await day.spend()
    keys = {daily_key(due, source_date).key for _, source_date, due in day.asked}
    dates = [f"2026-11-{number}" for number in (20, 21, 22, 23)]
    assert keys == {f"daily:2026-11-24:{at}:{date}" for at in ("06:00:00", "18:30:00") for date in dates}
    assert [source_date.day for _, source_date, _ in day.asked[:4]] == [23, 22, 21, 20], "the newest first"
    assert day.asked[0][0] == datetime(2026, 11, 24, 6, tzinfo=UTC), "on time"
    assert datetime(2026, 11, 24, 18, 30, tzinfo=UTC) in {at for at, _, _ in day.asked}


async def test_a_worker_that_starts_late_asks_for_the_latest_time_alone() -> None:
    day = Day(datetime(2026, 11, 24, 20, tzinfo=UTC), datetime(2026, 11, 24, 20, 1, tzinfo=UTC))
    await day.spend()
    assert {due for _, _, due in day.asked} == {datetime(2026, 11, 24, 18, 30, tzinfo=UTC)}


async def test_over_midnight_nothing_is_asked_before_the_next_time() -> None:
    day = Day(datetime(2026, 11, 25, 0, 0, tzinfo=UTC), datetime(2026, 11, 25, 6, 0, tzinfo=UTC))
    await day.spend()
    assert day.asked == []


async def test_what_failed_is_asked_for_again_in_a_minute() -> None:
    day = Day(datetime(2026, 11, 24, 6, tzinfo=UTC), datetime(2026, 11, 24, 6, 30, tzinfo=UTC), fails=2)
    await day.spend()
    assert {at for at, _, _ in day.asked} == {datetime(2026, 11, 24, 6, 2, tzinfo=UTC)}
    assert len(day.asked) == 4
