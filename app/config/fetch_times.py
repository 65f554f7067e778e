"""The times of day at which the last days are fetched, in a time zone, and when these come."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

OFF: Final = "off"
MAX_TIMES: Final = 24
_TIME: Final = re.compile(r"\d\d:\d\d(:\d\d)?")
_ZONE: Final = re.compile(r"[A-Za-z][\w+-]*(/[\w+-]+)*")


@dataclass(frozen=True)
class FetchTimes:
    """Times of day in a time zone; without any, no day is fetched unless somebody asks for it."""

    times: tuple[time, ...] = ()
    timezone: str = "UTC"

    def latest(self, now: datetime) -> datetime | None:
        """The last time of the timezone's current day that has come, in UTC; None before the first one."""
        return max((moment for moment in self._on(self._day(now)) if moment <= now), default=None)

    def next(self, now: datetime) -> datetime:
        """The next time that comes, in UTC. Raises ValueError if there are no times."""
        today = self._day(now)
        return min(moment for day in (today, today + timedelta(days=1)) for moment in self._on(day) if moment > now)

    def _day(self, now: datetime) -> date:
        """The timezone's date: the next one begins 23 to 25 hours later, and not always 24."""
        return now.astimezone(ZoneInfo(self.timezone)).date()

    def _on(self, day: date) -> list[datetime]:
        """The moments of a day of the timezone. A time that a change of the clocks skips comes an hour later."""
        return [datetime.combine(day, at, ZoneInfo(self.timezone)).astimezone(UTC) for at in self.times]


AFTER_ARXIV: Final = FetchTimes((time(0, 30), time(6, 30)), "America/New_York")
"""arXiv announces new papers at 20:00 Eastern, and its API has them by midnight Eastern."""


def fetch_times(value: object) -> object:
    """Read `HH:MM,HH:MM Zone/City`, without a timezone UTC, or `off`; refuses what names no times."""
    if isinstance(value, FetchTimes):
        _check_zone(value.timezone)
        return value
    if not isinstance(value, str):
        raise ValueError("this is not a text")
    if value.strip() == OFF:
        return FetchTimes()
    # Times may have blanks between them; the timezone is what stands behind the last one.
    listed, _, timezone = value.strip().rpartition(" ") if _ZONE.fullmatch(value.split()[-1]) else (value, "", "UTC")
    times = tuple(_time(part.strip()) for part in listed.split(",") if part.strip())
    if not 1 <= len(times) <= MAX_TIMES:
        raise ValueError(f"it must name 1 to {MAX_TIMES} times of day")
    _check_zone(timezone)
    return FetchTimes(times, timezone)


def _time(text: str) -> time:
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text!r} is not a time of day as HH:MM")
    return time.fromisoformat(text)


def _check_zone(timezone: str) -> None:
    """Refuse a timezone that this machine does not know."""
    try:
        ZoneInfo(timezone)
    except (OSError, ValueError, LookupError):
        raise ValueError(
            f"{timezone!r} is not a time zone that this machine knows (its package tzdata has them)"
        ) from None
