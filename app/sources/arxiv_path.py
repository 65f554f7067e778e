"""The interface of an access path to arXiv. arXiv has three, and a paper is the same item whichever delivers it."""

from datetime import date
from typing import Protocol

from app.errors import SourceBusy, SourceError
from app.models.articles import Article
from app.sources.fetcher import FetchFailed

BUSY_PAUSE = 20.0
"""Seconds to wait after a 429 or 503 without Retry-After."""


class NothingListed(SourceError):
    """The path has no papers of this day, which says nothing about the day."""


class ArxivPath(Protocol):
    """One way to read a day's papers. Its `host` names it to the rate limiter; its `name` to operators."""

    @property
    def name(self) -> str:
        """The path's name in logs and errors."""

    @property
    def host(self) -> str:
        """What a pause that arXiv requires applies to."""

    async def fetch(self, source_date: date, patience: float) -> list[Article]:
        """Return the day's papers, each once.

        Raises SourceBusy if arXiv requires a wait of more than `patience` seconds, SourceError for any other failure.
        """


def pause_of(error: FetchFailed) -> float:
    """Return the seconds to wait before the next request on this path."""
    if error.retry_after is not None:
        return error.retry_after
    return BUSY_PAUSE if error.busy else 0.0


def busy_or(error: FetchFailed) -> FetchFailed | SourceBusy:
    """Return SourceBusy if arXiv asked to retry later, else the error."""
    return SourceBusy(str(error), retry_after=pause_of(error)) if error.busy else error
