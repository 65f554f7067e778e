"""arXiv: reads a day's papers on one of three access paths, chosen by need, within arXiv's rate limit."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import structlog

from app.errors import SourceBusy, SourceError, SourceUnavailable
from app.models.articles import Article
from app.sources.arxiv_announcements import EASTERN, in_query_api_from
from app.sources.arxiv_api import MAX_IDS, QueryApi
from app.sources.arxiv_client import ArxivClient
from app.sources.arxiv_listing import MOST_LISTED, DailyListing
from app.sources.arxiv_oai import OaiPmh
from app.sources.arxiv_path import ArxivPath, NothingListed
from app.sources.fetcher import FetchFailed, HttpFetcher
from app.sources.rate_limiter import MAX_WAIT, RateLimiter, Sleep

__all__ = ["ARXIV_HOSTS", "MAX_IDS", "ArxivSettings", "ArxivSource"]

log = structlog.get_logger(__name__)

SHORT_WAIT: Final = 10.0
"""The most seconds to wait for a busy path while there is another one."""

FAILED_PAUSE: Final = 300.0
"""Seconds for which a path that failed is not used, if another one worked."""


@dataclass(frozen=True, slots=True)
class ArxivSettings:
    """Which papers to request, and how. Empty `categories` means all papers of the day.

    `listing_url` and `oai_url`: the hosts of the daily listing and of OAI-PMH; without them only the API is used.
    """

    base_url: str = "https://export.arxiv.org"
    listing_url: str | None = None
    oai_url: str | None = None
    categories: tuple[str, ...] = ("cs.AI", "cs.CL", "cs.CV", "cs.LG", "stat.ML")
    page_size: int = 500
    max_papers: int = 2_000
    most_listed: int = MOST_LISTED
    page_attempts: int = 3
    """arXiv sometimes responds with 503, or with an empty page in the middle of a result."""


ARXIV_HOSTS: Final = ArxivSettings(listing_url="https://rss.arxiv.org", oai_url="https://oaipmh.arxiv.org")
"""arXiv's own hosts."""


class ArxivSource:
    """A day's papers in some categories. One rate limiter serves the whole process and all of arXiv's hosts.

    - The day before today (Eastern time), while its announcement is in the daily listing: the listing, one request.
      Its papers were *announced* on that day, at 20:00.
    - Any other day: the query API, which selects by the day (UTC) on which a paper was *submitted*.
    - If these fail: OAI-PMH, which has the same papers as the API, and more data to download.

    For the API and OAI-PMH, `source_date` is the day of submission; for the listing, the day of the announcement.
    A paper is one item, because its arXiv id is its key on each path.
    """

    def __init__(
        self,
        fetcher: HttpFetcher,
        settings: ArxivSettings,
        rate_limiter: RateLimiter,
        *,
        sleep: Sleep = asyncio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = ArxivClient(fetcher, rate_limiter, sleep=sleep)
        self._now = now
        self._api = QueryApi(
            self._client,
            settings.base_url,
            settings.categories,
            page_size=settings.page_size,
            max_papers=settings.max_papers,
            attempts=settings.page_attempts,
        )
        self._listing = self._oai = None
        if settings.listing_url:
            self._listing = DailyListing(
                self._client, settings.listing_url, settings.categories, most=settings.most_listed
            )
        if settings.oai_url:
            self._oai = OaiPmh(
                self._client, settings.oai_url, settings.categories, attempts=settings.page_attempts, now=now
            )

    @property
    def name(self) -> str:
        """The `source` of these papers."""
        return "arxiv"

    @property
    def essential(self) -> bool:
        """Editions wait for arXiv: a digest without papers is of little use."""
        return True

    def complete_from(self, source_date: date) -> datetime:
        """The API and OAI-PMH have all papers of the day at the midnight after their announcement.

        The listing of the day's announcement is served before that, so it never completes a day.
        """
        return in_query_api_from(source_date)

    async def fetch(self, source_date: date) -> list[Article]:
        """Return the day's papers from the first path that works.

        Raises SourceError if no path could be read, SourceBusy if all of them require a wait.
        """
        paths = self._paths(source_date)
        failures: list[tuple[ArxivPath, SourceError | SourceBusy]] = []
        for path in paths:
            try:
                papers = await path.fetch(source_date, SHORT_WAIT if path is not paths[-1] else MAX_WAIT)
            except (SourceError, SourceBusy) as error:
                log.warning("arXiv path failed", path=path.name, source_date=str(source_date), error=str(error))
                failures.append((path, error))
            else:
                log.info("arXiv read", path=path.name, source_date=str(source_date), papers=len(papers))
                await self._avoid(failures)
                return papers
        raise _combined([error for _, error in failures])

    async def look_up(self, ids: Sequence[str]) -> list[Article]:
        """Return the papers of these ids (up to `MAX_IDS`, without versions) that arXiv's API knows.

        Raises SourceError, SourceBusy.
        """
        return await self._api.look_up(ids)

    def _paths(self, source_date: date) -> list[ArxivPath]:
        """Return the paths for a day in the order of preference."""
        today = self._now().astimezone(EASTERN).date()
        current = source_date == today - timedelta(days=1) and today.isoweekday() <= _FRIDAY
        paths: list[ArxivPath | None] = [self._listing if current else None, self._api, self._oai]
        return [path for path in paths if path is not None]

    async def _avoid(self, failures: Sequence[tuple[ArxivPath, SourceError | SourceBusy]]) -> None:
        """Let other fetches skip paths that could not be reached; a busy one has named its pause itself."""
        for path, error in failures:
            if isinstance(error, FetchFailed) and error.transient:
                await self._client.pause(path.host, FAILED_PAUSE)


_FRIDAY: Final = 5


def _combined(errors: Sequence[SourceError | SourceBusy]) -> SourceError | SourceBusy:
    """Return one error for all paths: busy or unavailable, as long as one of them may work later."""
    errors = [error for error in errors if not isinstance(error, NothingListed)] or errors
    if len(errors) == 1:
        return errors[0]
    message = "; ".join(dict.fromkeys(str(error) for error in errors))
    waits = [error.retry_after for error in errors if isinstance(error, SourceBusy)]
    if any(_is_unreachable(error) for error in errors):
        return SourceUnavailable(message)
    return SourceBusy(message, retry_after=min(waits)) if waits else SourceError(message)


def _is_unreachable(error: SourceError | SourceBusy) -> bool:
    return isinstance(error, SourceUnavailable) or (isinstance(error, FetchFailed) and error.transient)
