"""Days in UTC, which editions are based on."""

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
