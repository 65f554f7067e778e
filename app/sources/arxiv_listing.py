"""Reads arXiv's daily listing, an RSS feed of what was announced last: https://info.arxiv.org/help/rss.html."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from app.errors import SourceError
from app.models.articles import Article, ArticleKind
from app.models.arxiv_categories import ARCHIVES, classes_of
from app.sources.arxiv_announcements import EASTERN
from app.sources.arxiv_client import ArxivClient
from app.sources.arxiv_id import ABSTRACT_PAGE
from app.sources.arxiv_path import NothingListed, busy_or
from app.sources.feed_entry import FeedItem, read_item
from app.sources.fetcher import FetchFailed
from app.sources.paper_links import code_url
from app.sources.xml import read_feed

MOST_LISTED: Final = 2_000
"""The most items of one response. Replacements come first and new papers last, so a longer listing lacks these."""

_MAX_BYTES: Final = 15_000_000
"""2,000 items have about 5 MB; some abstracts are long."""

_ANNOUNCED: Final = frozenset({"new", "cross"})


class DailyListing:
    """The papers that arXiv announced on the evening (Eastern time) of a day, as new or as cross-listed.

    arXiv announces at 20:00 Eastern time from Sunday to Thursday. The listing of an announcement has the date of the
    following day, and is served during that day.
    """

    name = "the daily listing"
    host = "listing"

    def __init__(
        self, client: ArxivClient, base_url: str, categories: Sequence[str], *, most: int = MOST_LISTED
    ) -> None:
        self._client = client
        self._base_url = base_url
        self._categories = tuple(categories) or ARCHIVES
        self._most = most

    async def fetch(self, source_date: date, patience: float) -> list[Article]:
        """Return the papers announced on that day. See ArxivPath.

        Raises NothingListed if the listing is empty (weekends, holidays) or is that of another day.
        """
        listed = source_date + timedelta(days=1)
        items = [item for item in await self._items(self._categories, patience) if _listed_on(item) == listed]
        if not items:
            raise NothingListed(f"arXiv's daily listing of {listed} has no papers, or is not there (yet)")
        papers = [_article(item, item.arxiv_id) for item in items if item.arxiv_id and item.announce_type in _ANNOUNCED]
        return list({paper.external_id: paper for paper in papers}.values())

    async def _items(self, categories: Sequence[str], patience: float) -> list[FeedItem]:
        items = await self._read(categories, patience)
        if len(items) < self._most:
            return items
        parts = _split(categories)
        if parts is None:
            raise SourceError(f"arXiv's daily listing of {categories[0]} was cut off after {len(items)} items")
        return [item for part in parts for item in await self._items(part, patience)]

    async def _read(self, categories: Sequence[str], patience: float) -> list[FeedItem]:
        url = f"{self._base_url}/rss/{'+'.join(categories)}"
        try:
            page = await self._client.get(self.host, url, max_bytes=_MAX_BYTES, patience=patience)
        except FetchFailed as error:
            raise busy_or(error) from error
        return await read_feed(
            page, ("{*}item",), lambda element: read_item(element, page.url), limit=2 * self._most, lenient=True
        )


def _split(categories: Sequence[str]) -> tuple[Sequence[str], Sequence[str]] | None:
    """Return two parts of these categories; None if there is only one, without subject classes."""
    if len(categories) == 1:
        categories = classes_of(categories[0])
    half = len(categories) // 2
    return (categories[:half], categories[half:]) if half else None


def _listed_on(item: FeedItem) -> date | None:
    return None if item.published_at is None else item.published_at.astimezone(EASTERN).date()


def _article(item: FeedItem, identifier: str) -> Article:
    return Article(
        source="arxiv",
        external_id=identifier,
        kind=ArticleKind.PAPER,
        title=item.title,
        abstract=item.abstract,
        authors=item.authors,
        url=item.url or ABSTRACT_PAGE + identifier,
        pdf_url=item.pdf_url,
        categories=item.categories,
        published_at=item.published_at,
        arxiv_id=identifier,
        doi=item.doi,
        journal_ref=item.journal_ref,
        code_url=code_url(item.abstract),
    )
