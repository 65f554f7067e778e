"""When arXiv announces the papers submitted on a day: https://info.arxiv.org/help/availability.html."""

from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from app.sources.source import end_of

EASTERN: Final = ZoneInfo("America/New_York")
DEADLINE: Final = time(14)
"""Eastern time, Monday to Friday. Papers submitted later belong to the next deadline."""
ANNOUNCEMENT: Final = time(20)
"""Eastern time on the day of the deadline. Papers of Friday's deadline are announced on Sunday."""

_FRIDAY, _SATURDAY = 5, 6
_ONE_DAY: Final = timedelta(days=1)


def announced_at(submitted: datetime) -> datetime:
    """Return when arXiv announces a paper submitted at a time. Ignores arXiv's holidays, which change each year."""
    local = submitted.astimezone(EASTERN)
    day = local.date() + (_ONE_DAY if local.time() >= DEADLINE else timedelta(0))
    while day.isoweekday() >= _SATURDAY:
        day += _ONE_DAY
    announced = day + 2 * _ONE_DAY if day.isoweekday() == _FRIDAY else day
    return datetime.combine(announced, ANNOUNCEMENT, EASTERN)


def announcement_of(source_date: date) -> datetime:
    """Return when all papers submitted on a day (UTC) are announced."""
    return announced_at(end_of(source_date) - timedelta(microseconds=1))


def in_query_api_from(source_date: date) -> datetime:
    """Return when the query API has all papers submitted on a day (UTC): the midnight after the announcement.

    Source: "new articles are only available to the API on the midnight after the articles were processed",
    https://info.arxiv.org/help/api/user-manual.html.
    """
    return datetime.combine(announcement_of(source_date).date() + _ONE_DAY, time(0), EASTERN)
