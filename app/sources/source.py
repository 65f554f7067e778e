"""What a source of papers or news is, to whoever gathers an edition."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

from app.models import Article


class Source(Protocol):
    """One place that papers or news come from; `name` is what its articles carry as `source`."""

    @property
    def name(self) -> str:
        """The source's name: `arxiv`, `newsapi`, `feed:<name>`; unique within an edition."""

    @property
    def essential(self) -> bool:
        """Whether an edition waits for this source while it is unavailable and others were read."""

    def complete_from(self, source_date: date) -> datetime:
        """The moment from which on a reading has all that the source will have for that day (UTC)."""

    async def fetch(self, source_date: date) -> list[Article]:
        """Return the items of that day (UTC), each `external_id` once; an empty list is a valid answer.

        Raises SourceError, with the reason, whatever the other side sends; SourceBusy where it asks to be left alone.
        """


def end_of(day: date) -> datetime:
    """The end of a day in UTC."""
    return datetime.combine(day + timedelta(days=1), time(0), UTC)
