"""Reads a day's papers from arXiv's query API, page by page, within arXiv's rate limit."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from app.errors import SourceBusy
from app.models import Article
from app.sources.arxiv_announcements import in_query_api_from
from app.sources.arxiv_atom import ERROR_PAGE, ArxivPage, QueryRefused, read_page
from app.sources.fetcher import Fetched, FetchFailed, HttpFetcher
from app.sources.rate_limiter import MAX_WAIT, RateLimiter, Sleep

# These archives have subject classes, and each paper has one of them as its category.
_DIVIDED: Final = frozenset(
    ["astro-ph", "cond-mat", "cs", "econ", "eess", "math", "nlin", "physics", "q-bio", "q-fin", "stat"]
)
# Seconds to wait after a 429 or 503 without Retry-After.
_BUSY_PAUSE: Final = 20.0


@dataclass(frozen=True, slots=True)
class ArxivSettings:
    """Which papers to request, and how. Empty `categories` means all papers of the day."""

    base_url: str = "https://export.arxiv.org"
    categories: tuple[str, ...] = ("cs.AI", "cs.CL", "cs.CV", "cs.LG", "stat.ML")
    page_size: int = 500
    max_papers: int = 2_000
    page_attempts: int = 3
    """arXiv sometimes responds with 503, or with an empty page in the middle of a result."""


MAX_IDS: Final = 100
"""arXiv ids per request. The manual names no limit, but URLs have one."""


class ArxivSource:
    """The papers submitted on a day (UTC) in some categories, oldest first. One rate limiter serves the whole process.

    After a 429 or 503, the next permit of any process is available only after the time that arXiv named.
    """

    def __init__(
        self, fetcher: HttpFetcher, settings: ArxivSettings, rate_limiter: RateLimiter, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._fetcher = fetcher
        self._settings = settings
        self._rate_limiter = rate_limiter
        self._sleep = sleep

    @property
    def name(self) -> str:
        """The `source` of these papers."""
        return "arxiv"

    @property
    def essential(self) -> bool:
        """Editions wait for arXiv: a digest without papers is of little use."""
        return True

    def complete_from(self, source_date: date) -> datetime:
        """The query API has all papers of the day at the midnight after their announcement."""
        return in_query_api_from(source_date)

    async def fetch(self, source_date: date) -> list[Article]:
        """Return the day's papers, at most `max_papers`.

        Raises SourceError if a page cannot be read, SourceBusy if arXiv requires a long wait.
        """
        papers: dict[str, Article] = {}
        start, total = 0, 1
        while start < min(total, self._settings.max_papers):
            page = await self._page(source_date, start)
            papers.update((article.external_id, article) for article in page.articles)
            start, total = start + page.entries, page.total
        return list(papers.values())[: self._settings.max_papers]

    async def look_up(self, ids: Sequence[str]) -> list[Article]:
        """Return the papers of these ids (up to `MAX_IDS`, without versions) that arXiv knows.

        arXiv rejects a whole list because of one malformed id. Then the halves are requested, down to the single id,
        which counts as unknown. Raises the same errors as `fetch`.
        """
        params = {"id_list": ",".join(ids), "max_results": str(len(ids))}
        try:
            page = await read_page(await self._query(params), limit=len(ids) + 1)
        except FetchFailed as error:
            if ERROR_PAGE.encode() not in error.body:
                raise _busy(error) from error
        except QueryRefused:
            pass
        else:
            return list(page.articles)
        half = len(ids) // 2
        return [*await self.look_up(ids[:half]), *await self.look_up(ids[half:])] if half else []

    async def _page(self, source_date: date, start: int) -> ArxivPage:
        last = self._settings.page_attempts - 1
        for attempt in range(last):
            try:
                return await self._attempt(source_date, start)
            except FetchFailed as error:
                if not error.transient or _pause(error) > MAX_WAIT:
                    raise _busy(error) from error
                if not error.busy:
                    await self._sleep(3.0 * 2**attempt)
        try:
            return await self._attempt(source_date, start)
        except FetchFailed as error:
            raise _busy(error) from error

    async def _attempt(self, source_date: date, start: int) -> ArxivPage:
        size = min(self._settings.page_size, self._settings.max_papers - start)
        params = {
            "search_query": search_query(self._settings.categories, source_date),
            "start": str(start),
            "max_results": str(size),
            # Ascending: papers that are added between two requests come last and shift no page.
            "sortBy": "submittedDate",
            "sortOrder": "ascending",
        }
        page = await read_page(await self._query(params), limit=size + 1)
        if page.entries == 0 and start < page.total:
            message = f"arXiv reported {page.total} papers, but its page from {start} on is empty"
            raise FetchFailed(message, transient=True)
        return page

    async def _query(self, params: Mapping[str, str]) -> Fetched:
        async with self._rate_limiter.permit() as permit:
            try:
                return await self._fetcher.get(f"{self._settings.base_url}/api/query", params=params)
            except FetchFailed as error:
                permit.pause = _pause(error)
                raise


def _pause(error: FetchFailed) -> float:
    """Return the seconds to wait before the next request to arXiv."""
    if error.retry_after is not None:
        return error.retry_after
    return _BUSY_PAUSE if error.busy else 0.0


def _busy(error: FetchFailed) -> FetchFailed | SourceBusy:
    """Return SourceBusy if arXiv asked to retry later, else the error."""
    return SourceBusy(str(error), retry_after=_pause(error)) if error.busy else error


def search_query(categories: Sequence[str], source_date: date) -> str:
    """Return the `search_query` for a day's papers. See https://info.arxiv.org/help/api/user-manual.html."""
    day = f"{source_date:%Y%m%d}"
    submitted = f"submittedDate:[{day}0000 TO {day}2359]"
    if not categories:
        return submitted
    terms = (f"cat:{name}.*" if name in _DIVIDED else f"cat:{name}" for name in categories)
    return f"({' OR '.join(terms)}) AND {submitted}"
