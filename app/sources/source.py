"""What a source of papers or news is, to whoever gathers an edition."""

from datetime import date
from typing import Protocol

from app.models import Article


class Source(Protocol):
    """One place that papers or news come from; `name` is what its articles carry as `source`."""

    @property
    def name(self) -> str:
        """The source's name: `arxiv`, `newsapi`, `feed:<name>`; unique within an edition."""

    async def fetch(self, source_date: date) -> list[Article]:
        """Return the items of that day (UTC), each `external_id` once; an empty list is a valid answer.

        Raises SourceError, with the reason, whatever the other side sends; SourceBusy where it asks to be left alone.
        """
