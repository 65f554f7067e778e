"""Reads a day's papers from arXiv's query API, page by page: https://info.arxiv.org/help/api/user-manual.html."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from app.models.articles import Article
from app.models.arxiv_categories import classes_of
from app.sources.arxiv_atom import ERROR_PAGE, ArxivPage, QueryRefused, read_page
from app.sources.arxiv_client import ArxivClient
from app.sources.arxiv_path import busy_or
from app.sources.fetcher import Fetched, FetchFailed
from app.sources.rate_limiter import MAX_WAIT

MAX_IDS: Final = 100
"""arXiv ids per request. The manual names no limit, but URLs have one."""


class QueryApi:
    """The papers submitted on a day (UTC) in some categories, oldest first."""

    name = "the query API"
    host = "api"

    def __init__(
        self,
        client: ArxivClient,
        base_url: str,
        categories: Sequence[str],
        *,
        page_size: int,
        max_papers: int,
        attempts: int,
    ) -> None:
        self._client = client
        self._base_url = base_url
        self._categories = categories
        self._page_size = page_size
        self._max_papers = max_papers
        self._attempts = attempts

    async def fetch(self, source_date: date, patience: float) -> list[Article]:
        """Return the day's papers, at most `max_papers`. See ArxivPath."""
        papers: dict[str, Article] = {}
        start, total = 0, 1
        while start < min(total, self._max_papers):
            page = await self._page(source_date, start, patience)
            papers.update((article.external_id, article) for article in page.articles)
            start, total = start + page.entries, page.total
        return list(papers.values())[: self._max_papers]

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
                raise busy_or(error) from error
        except QueryRefused:
            pass
        else:
            return list(page.articles)
        half = len(ids) // 2
        return [*await self.look_up(ids[:half]), *await self.look_up(ids[half:])] if half else []

    async def _page(self, source_date: date, start: int, patience: float) -> ArxivPage:
        for attempt in range(self._attempts - 1):
            try:
                return await self._attempt(source_date, start, patience)
            except FetchFailed as error:
                await self._client.pause_before_retry(error, attempt, patience)
        try:
            return await self._attempt(source_date, start, patience)
        except FetchFailed as error:
            raise busy_or(error) from error

    async def _attempt(self, source_date: date, start: int, patience: float) -> ArxivPage:
        size = min(self._page_size, self._max_papers - start)
        params = {
            "search_query": search_query(self._categories, source_date),
            "start": str(start),
            "max_results": str(size),
            # Ascending: papers that are added between two requests come last and shift no page.
            "sortBy": "submittedDate",
            "sortOrder": "ascending",
        }
        page = await read_page(await self._query(params, patience), limit=size + 1)
        if page.entries == 0 and start < page.total:
            message = f"arXiv reported {page.total} papers, but its page from {start} on is empty"
            raise FetchFailed(message, transient=True)
        return page

    async def _query(self, params: Mapping[str, str], patience: float = MAX_WAIT) -> Fetched:
        return await self._client.get(self.host, f"{self._base_url}/api/query", params, patience=patience)


def search_query(categories: Sequence[str], source_date: date) -> str:
    """Return the `search_query` for a day's papers. See https://info.arxiv.org/help/api/user-manual.html."""
    day = f"{source_date:%Y%m%d}"
    submitted = f"submittedDate:[{day}0000 TO {day}2359]"
    if not categories:
        return submitted
    terms = (f"cat:{name}.*" if classes_of(name) else f"cat:{name}" for name in categories)
    return f"({' OR '.join(terms)}) AND {submitted}"
