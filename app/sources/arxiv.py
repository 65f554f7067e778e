"""A day's papers from arXiv's query API, page by page, as slowly as arXiv asks for."""

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
from app.sources.rate_limiter import LONGEST_WAIT, RateLimiter, Sleep

# These archives are divided into subjects, and a paper is filed under a subject.
_DIVIDED: Final = frozenset(
    ["astro-ph", "cond-mat", "cs", "econ", "eess", "math", "nlin", "physics", "q-bio", "q-fin", "stat"]
)
# Seconds for which arXiv is left alone after a 429 or 503 that names none.
_BUSY_PAUSE: Final = 20.0


@dataclass(frozen=True, slots=True)
class ArxivSettings:
    """Which papers, and how they are asked for. An empty `categories` is everything that day."""

    base_url: str = "https://export.arxiv.org"
    categories: tuple[str, ...] = ("cs.AI", "cs.CL", "cs.CV", "cs.LG", "stat.ML")
    page_size: int = 500
    max_papers: int = 2_000
    page_attempts: int = 3
    """arXiv now and then answers 503, or with an empty page in the middle of a result."""


MOST_IDS: Final = 100
"""Of one request: the manual names no limit, an address has one."""


class ArxivSource:
    """The papers submitted on a day (UTC) in some categories, oldest first. One pacer serves the whole process.

    A 429 or 503 is obeyed: the next turn, whoever takes it, comes after the time that arXiv named.
    """

    def __init__(
        self, fetcher: HttpFetcher, settings: ArxivSettings, pacer: RateLimiter, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._fetcher = fetcher
        self._settings = settings
        self._pacer = pacer
        self._sleep = sleep

    @property
    def name(self) -> str:
        """What these papers carry as `source`."""
        return "arxiv"

    @property
    def essential(self) -> bool:
        """A digest without papers is hardly one: editions wait for them."""
        return True

    def complete_from(self, source_date: date) -> datetime:
        """The query API has all of the day at the midnight after the announcement that covers it."""
        return in_query_api_from(source_date)

    async def fetch(self, source_date: date) -> list[Article]:
        """Return the day's papers, at most `max_papers`.

        Raises SourceError if any page cannot be had, SourceBusy if arXiv asks for a long pause.
        """
        papers: dict[str, Article] = {}
        start, total = 0, 1
        while start < min(total, self._settings.max_papers):
            page = await self._page(source_date, start)
            papers.update((article.external_id, article) for article in page.articles)
            start, total = start + page.entries, page.total
        return list(papers.values())[: self._settings.max_papers]

    async def look_up(self, ids: Sequence[str]) -> list[Article]:
        """Return those of these papers (`MOST_IDS`, without versions) that arXiv knows.

        It refuses a list for one id that it finds malformed: then the halves are asked for, down to the one, which it
        does not know. Raises as `fetch` does.
        """
        params = {"id_list": ",".join(ids), "max_results": str(len(ids))}
        try:
            page = await read_page(await self._asked(params), limit=len(ids) + 1)
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
                if not error.transient or _pause(error) > LONGEST_WAIT:
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
            # Ascending: papers that arrive between two pages of today come last and move nothing.
            "sortBy": "submittedDate",
            "sortOrder": "ascending",
        }
        answer = await self._asked(params)
        page = await read_page(answer, limit=size + 1)
        if page.entries == 0 and start < page.total:
            message = f"arXiv announced {page.total} papers, but its page from {start} on is empty"
            raise FetchFailed(message, transient=True)
        return page

    async def _asked(self, params: Mapping[str, str]) -> Fetched:
        async with self._pacer.turn() as turn:
            try:
                return await self._fetcher.get(f"{self._settings.base_url}/api/query", params=params)
            except FetchFailed as error:
                turn.pause = _pause(error)
                raise


def _pause(error: FetchFailed) -> float:
    """For how many seconds arXiv wants to be left alone."""
    if error.retry_after is not None:
        return error.retry_after
    return _BUSY_PAUSE if error.busy else 0.0


def _busy(error: FetchFailed) -> FetchFailed | SourceBusy:
    """What a page that could not be had means: to come back later, where arXiv asked for that."""
    return SourceBusy(str(error), retry_after=_pause(error)) if error.busy else error


def search_query(categories: Sequence[str], source_date: date) -> str:
    """Return the `search_query` for a day's papers, as https://info.arxiv.org/help/api/user-manual.html has it."""
    day = f"{source_date:%Y%m%d}"
    submitted = f"submittedDate:[{day}0000 TO {day}2359]"
    if not categories:
        return submitted
    terms = (f"cat:{name}.*" if name in _DIVIDED else f"cat:{name}" for name in categories)
    return f"({' OR '.join(terms)}) AND {submitted}"
