"""Days and times in UTC, which editions and cursors are based on."""

from datetime import UTC, date, datetime, timedelta


def utc_today() -> date:
    """Return the current day in UTC."""
    return datetime.now(UTC).date()


def day_before(day: date) -> date:
    """Return the previous day: during `day`, it is the last complete one."""
    return day - timedelta(days=1)


def yesterday() -> date:
    """Return the last complete day in UTC, the default day of an edition."""
    return day_before(utc_today())


def in_utc(moment: datetime) -> datetime:
    """Convert to UTC: PostgreSQL accepts fewer UTC offsets than Python. Raises `ValueError` if UTC has no such time."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("this time is out of range") from None
