"""Reads a day's papers from arXiv's OAI-PMH interface: https://info.arxiv.org/help/oa/index.html.

The protocol is https://www.openarchives.org/OAI/openarchivesprotocol.html.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from app.errors import SourceError
from app.models.articles import Article
from app.models.arxiv_categories import oai_set
from app.sources.arxiv_client import ArxivClient
from app.sources.arxiv_oai_page import BadToken, OaiPage, read_oai_page
from app.sources.arxiv_path import busy_or
from app.sources.fetcher import Fetched, FetchFailed

MOST_DAYS_AGO: Final = 30
"""A list has everything that changed since its day, so one that begins long ago is too long."""

_MOST_PAGES: Final = 15
"""Pages of one list. A page has up to 3,500 records."""

_MAX_BYTES: Final = 30_000_000
"""3,500 records have about 10 MB."""

_SECONDS: Final = 40.0
"""arXiv takes some ten seconds for a page; a permit of the rate limiter lasts 45."""


class OaiPmh:
    """The papers submitted on a day (UTC) in some categories.

    A list contains what changed since a day: new versions and corrections too. So it is filtered by the date of the
    first version. arXiv asks harvesters to send `from` without `until`: a paper that changed later has a later
    datestamp, and `until` would exclude it.
    """

    name = "OAI-PMH"
    host = "oai"

    def __init__(
        self,
        client: ArxivClient,
        base_url: str,
        categories: Sequence[str],
        *,
        attempts: int,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._base_url = base_url
        self._sets: list[str | None] = [oai_set(category) for category in categories] or [None]
        self._attempts = attempts
        self._now = now

    async def fetch(self, source_date: date, patience: float) -> list[Article]:
        """Return the day's papers. See ArxivPath."""
        if source_date < self._now().astimezone(UTC).date() - timedelta(days=MOST_DAYS_AGO):
            raise SourceError(f"OAI-PMH is not used for days more than {MOST_DAYS_AGO} days ago")
        papers: dict[str, Article] = {}
        for name in self._sets:
            papers |= await self._list(source_date, name, patience)
        return list(papers.values())

    async def _list(self, source_date: date, name: str | None, patience: float) -> dict[str, Article]:
        """Read one set. The list begins again, once, if arXiv refuses a token: they expire at midnight UTC."""
        try:
            return await self._read_list(source_date, name, patience)
        except BadToken:
            return await self._read_list(source_date, name, patience)

    async def _read_list(self, source_date: date, name: str | None, patience: float) -> dict[str, Article]:
        papers: dict[str, Article] = {}
        async for page in self._pages(source_date, name, patience):
            papers |= {article.external_id: article for article in page.articles}
        return papers

    async def _pages(self, source_date: date, name: str | None, patience: float) -> AsyncIterator[OaiPage]:
        params = {"metadataPrefix": "arXivRaw", "from": source_date.isoformat()} | ({"set": name} if name else {})
        for _ in range(_MOST_PAGES):
            page = await self._page({"verb": "ListRecords", **params}, source_date, patience)
            yield page
            if not page.token:
                return
            # The protocol allows no other argument beside a token.
            params = {"resumptionToken": page.token}
        raise SourceError(f"arXiv's OAI-PMH list from {source_date} on has more than {_MOST_PAGES} pages")

    async def _page(self, params: dict[str, str], source_date: date, patience: float) -> OaiPage:
        for attempt in range(self._attempts - 1):
            try:
                return await read_oai_page(await self._get(params, patience), source_date)
            except FetchFailed as error:
                await self._client.pause_before_retry(error, attempt, patience)
        try:
            return await read_oai_page(await self._get(params, patience), source_date)
        except FetchFailed as error:
            raise busy_or(error) from error

    async def _get(self, params: dict[str, str], patience: float) -> Fetched:
        url = f"{self._base_url}/oai"
        return await self._client.get(self.host, url, params, max_bytes=_MAX_BYTES, seconds=_SECONDS, patience=patience)
