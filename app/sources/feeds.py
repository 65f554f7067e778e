"""News or papers from any RSS or Atom feed: publishers, journals' contents, saved searches, alerts, arXiv's feeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from app.days import utc_today
from app.models.articles import Article, ArticleKind
from app.sources.doi import is_news_doi
from app.sources.feed_entry import FeedItem, read_item
from app.sources.fetcher import HttpFetcher
from app.sources.paper_links import code_url
from app.sources.source import IncompleteSource, end_of
from app.sources.xml import FeedCutShort, read_feed


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """One feed. `name` is short and unique; readers see it as the source of an item.

    `kind` is that of its items without a DOI. An item with a DOI is a paper.
    """

    name: str
    url: str
    kind: ArticleKind = ArticleKind.NEWS
    max_items: int = 200
    days_before: int = 1
    """How many days before the edition's day an item may have appeared: at 06:00, the day itself has little news."""


DEFAULT_FEEDS = (
    FeedSettings("Nature", "https://www.nature.com/nature.rss"),
    FeedSettings("Science Daily", "https://www.sciencedaily.com/rss/top/science.xml"),
    FeedSettings("Quanta", "https://api.quantamagazine.org/feed/"),
    FeedSettings("MIT News", "https://news.mit.edu/rss/topic/artificial-intelligence2"),
    FeedSettings("Ars Technica", "https://feeds.arstechnica.com/arstechnica/science"),
)


class FeedSource:
    """The items of one feed that belong to a day's edition.

    A feed has recent items only, so an edition far in the past gets none, which is not an error. An item belongs to the
    edition if it appeared on its day (UTC) or up to `days_before` days earlier. An item without a time belongs to an
    edition of today or of those days before it, because the feed contains it now. So does one with a future time,
    because journals date an issue later than it appears.
    """

    def __init__(self, fetcher: HttpFetcher, settings: FeedSettings, *, today: Callable[[], date] = utc_today) -> None:
        self._fetcher = fetcher
        self._settings = settings
        self._today = today

    @property
    def name(self) -> str:
        """The `source` of these items."""
        return f"feed:{self._settings.name}"

    @property
    def essential(self) -> bool:
        """No edition waits for a single feed."""
        return False

    def complete_from(self, source_date: date) -> datetime:
        """A feed has all items of a day when the day is over."""
        return end_of(source_date)

    async def fetch(self, source_date: date) -> list[Article]:
        """Return the items of that day, in the feed's order.

        Raises IncompleteSource for a feed that was cut off, SourceError for one that cannot be read.
        """
        response = await self._fetcher.get(self._settings.url)
        try:
            items = await read_feed(
                response,
                ("{*}item", "{*}entry"),
                lambda element: read_item(element, response.url),
                limit=self._settings.max_items,
                lenient=True,
            )
        except FeedCutShort as error:
            found = [item for item in error.found if isinstance(item, FeedItem)]
            raise IncompleteSource(str(error), self._articles(found, source_date)) from error
        return self._articles(items, source_date)

    def _articles(self, items: Sequence[FeedItem], source_date: date) -> list[Article]:
        kept = (self._article(item) for item in items if not item.is_replacement and self._belongs(item, source_date))
        return list({article.external_id: article for article in kept}.values())

    def _belongs(self, item: FeedItem, source_date: date) -> bool:
        before = timedelta(days=self._settings.days_before)
        if item.published_at is None or item.published_at.date() > self._today():
            return timedelta(0) <= self._today() - source_date <= before
        return timedelta(0) <= source_date - item.published_at.date() <= before

    def _kind(self, item: FeedItem) -> ArticleKind:
        is_paper = item.is_paper or (item.doi is not None and not is_news_doi(item.doi))
        return ArticleKind.PAPER if is_paper else self._settings.kind

    def _article(self, item: FeedItem) -> Article:
        kind = self._kind(item)
        is_paper = kind is ArticleKind.PAPER
        return Article(
            source=self.name,
            external_id=item.external_id,
            kind=kind,
            title=item.title,
            abstract=item.abstract,
            authors=item.authors,
            url=item.url,
            pdf_url=item.pdf_url,
            categories=item.categories,
            published_at=item.published_at,
            arxiv_id=item.arxiv_id,
            doi=item.doi,
            journal_ref=item.journal_ref if is_paper else "",
            code_url=code_url(item.abstract) if is_paper else None,
        )
