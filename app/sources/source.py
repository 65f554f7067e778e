"""The interface of a source of papers or news."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

from app.errors import SourceError
from app.models.articles import Article


class IncompleteSource(SourceError):
    """A source's response was cut off. `articles` are those before the cut."""

    def __init__(self, message: str, articles: Sequence[Article]) -> None:
        super().__init__(message)
        self.articles = articles


class Source(Protocol):
    """One origin of papers or news. Its `name` is the `source` of its articles."""

    @property
    def name(self) -> str:
        """The source's name: `arxiv`, `newsapi`, `feed:<name>`; unique within an edition."""

    @property
    def essential(self) -> bool:
        """Whether an edition waits for this source while it is unavailable and others were read."""

    def complete_from(self, source_date: date) -> datetime:
        """The time from which a reading has everything that the source will have for that day (UTC)."""

    async def fetch(self, source_date: date) -> list[Article]:
        """Return the items of that day (UTC), each `external_id` once. The list may be empty.

        Raises IncompleteSource with the items before the cut of a response; SourceError with the reason, whatever the
        server sends; SourceBusy if it asks to retry later.
        """


def end_of(day: date) -> datetime:
    """Return the end of a day in UTC."""
    return datetime.combine(day + timedelta(days=1), time(0), UTC)
