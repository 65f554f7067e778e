"""The times of day of scheduled fetches, in a time zone."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

OFF: Final = "off"
MAX_TIMES: Final = 24
# 24:00 is the next day's 00:00 for fromisoformat() from Python 3.14 on, and an error before.
_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
_ZONE: Final = re.compile(r"[A-Za-z][\w+-]*(/[\w+-]+)*")


@dataclass(frozen=True)
class FetchTimes:
    """Times of day in a time zone; without times, a day is fetched only on request."""

    times: tuple[time, ...] = ()
    timezone: str = "UTC"

    def latest(self, now: datetime) -> datetime | None:
        """Return the latest past time of the current day in the time zone, in UTC; None before the first one."""
        return max((moment for moment in self._on(self._day(now)) if moment <= now), default=None)

    def last(self, now: datetime) -> datetime | None:
        """Return the latest past time, which may be the day before, in UTC; None if there are no times."""
        today = self._day(now)
        moments = [moment for day in (today - timedelta(days=1), today) for moment in self._on(day)]
        return max((moment for moment in moments if moment <= now), default=None)

    def next(self, now: datetime) -> datetime:
        """Return the next time, in UTC. Raises `ValueError` if there are no times."""
        today = self._day(now)
        return min(moment for day in (today, today + timedelta(days=1)) for moment in self._on(day) if moment > now)

    def _day(self, now: datetime) -> date:
        """Return the date in the time zone; a day there lasts 23 to 25 hours."""
        return now.astimezone(ZoneInfo(self.timezone)).date()

    def _on(self, day: date) -> list[datetime]:
        """Return a day's times in UTC. A time that daylight saving time skips occurs an hour later."""
        return [datetime.combine(day, at, ZoneInfo(self.timezone)).astimezone(UTC) for at in self.times]


AFTER_ARXIV: Final = FetchTimes((time(0, 30), time(6, 30)), "America/New_York")
"""arXiv announces new papers at 20:00 Eastern time; its API has them by midnight Eastern time."""


def fetch_times(value: object) -> object:
    """Parse `HH:MM,HH:MM Zone/City` (default: UTC) or `off`. Raises `ValueError` for anything else."""
    if isinstance(value, FetchTimes):
        _check_zone(value.timezone)
        return value
    if not isinstance(value, str):
        raise ValueError("it is not a string")
    if value.strip() == OFF:
        return FetchTimes()
    # Blanks may separate the times; the time zone follows the last time.
    listed, _, timezone = value.strip().rpartition(" ") if _ZONE.fullmatch(value.split()[-1]) else (value, "", "UTC")
    times = tuple(_time(part.strip()) for part in listed.split(",") if part.strip())
    if not 1 <= len(times) <= MAX_TIMES:
        raise ValueError(f"it must contain 1 to {MAX_TIMES} times of day")
    _check_zone(timezone)
    return FetchTimes(times, timezone)


def _time(text: str) -> time:
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text!r} is not a time of day such as 06:30")
    return time.fromisoformat(text)


def _check_zone(timezone: str) -> None:
    """Raise `ValueError` for a time zone that is unknown on this machine."""
    try:
        ZoneInfo(timezone)
    except (OSError, ValueError, LookupError):
        raise ValueError(f"{timezone!r} is not a known time zone (the package tzdata installs them)") from None
