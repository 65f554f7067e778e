"""Which day it is: editions are of days in UTC."""

from datetime import UTC, date, datetime, timedelta


def utc_today() -> date:
    """The day it is, in UTC."""
    return datetime.now(UTC).date()


def day_before(day: date) -> date:
    """The day before, which is the last complete one while `day` lasts."""
    return day - timedelta(days=1)


def yesterday() -> date:
    """The last complete day in UTC: that of an edition unless another is asked for."""
    return day_before(utc_today())
