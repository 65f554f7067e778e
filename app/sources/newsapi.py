"""A day's news on a subject from NewsAPI, which requires an API key."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from app.errors import SourceError, SourceUnavailable
from app.models.articles import Article, ArticleKind
from app.sources.dates import parse_time
from app.sources.fetcher import FetchFailed, HttpFetcher
from app.sources.source import end_of
from app.sources.text import MAX_ABSTRACT, MAX_NAME, MAX_TITLE, plain, plain_from_html, safe_link

# A page of 100 articles has about 150 kB, and is parsed in one step.
_MAX_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class NewsApiSettings:
    """The search, with `query` in NewsAPI's syntax. The key never appears in a `repr`."""

    api_key: str = field(repr=False)
    query: str = '"artificial intelligence" OR "machine learning" OR "scientists"'
    language: str = "en"
    base_url: str = "https://newsapi.org"
    max_items: int = 100
    """NewsAPI's largest page, and the maximum of its free plan."""


class _Publisher(BaseModel):
    name: str | None = None


class _Item(BaseModel):
    title: str | None = None
    description: str | None = None
    url: str | None = None
    author: str | None = None
    source: _Publisher = _Publisher()
    publishedAt: str | None = None  # noqa: N815  -- NewsAPI's spelling


class _Response(BaseModel):
    status: str
    code: str | None = None
    message: str | None = None
    articles: list[Any] = []
    """Validated one by one: half a million invalid ones must not cause half a million errors."""


class NewsApiSource:
    """The articles of a day (UTC) that match a query, newest first: https://newsapi.org/docs/endpoints/everything."""

    def __init__(self, fetcher: HttpFetcher, settings: NewsApiSettings) -> None:
        self._fetcher = fetcher
        self._settings = settings

    @property
    def name(self) -> str:
        """The `source` of these articles."""
        return "newsapi"

    @property
    def essential(self) -> bool:
        """News never delays an edition."""
        return False

    def complete_from(self, source_date: date) -> datetime:
        """The free plan has articles with a delay of one day: https://newsapi.org/pricing."""
        return end_of(source_date) + timedelta(days=1)

    async def fetch(self, source_date: date) -> list[Article]:
        """Return the day's articles. Raises SourceError, with NewsAPI's own message if there is one."""
        response = _parse(await self._download(source_date))
        if response.status != "ok":
            raise SourceError(_error_message(response))
        articles = (_article(item) for item in response.articles[: self._settings.max_items])
        return list({article.external_id: article for article in articles if article}.values())

    async def _download(self, source_date: date) -> bytes:
        params = {
            "q": self._settings.query,
            "language": self._settings.language,
            "from": f"{source_date}T00:00:00",
            "to": f"{source_date}T23:59:59",
            "sortBy": "publishedAt",
            "pageSize": str(self._settings.max_items),
        }
        url = f"{self._settings.base_url}/v2/everything"
        try:
            headers = {"X-Api-Key": self._settings.api_key}
            response = await self._fetcher.get(url, params=params, headers=headers, max_bytes=_MAX_BYTES)
        except FetchFailed as error:
            try:
                message = _error_message(_parse(error.body))
            except SourceError:
                raise error from None
            reason = f"{error}: {message}"
            if error.transient:
                raise SourceUnavailable(reason, retry_after=error.retry_after) from error
            raise SourceError(reason) from error
        return response.body


def _parse(body: bytes) -> _Response:
    try:
        return _Response.model_validate_json(body)
    except ValidationError as error:
        raise _malformed(error) from None


def _malformed(error: ValidationError) -> SourceError:
    first = error.errors(include_input=False, include_url=False)[0]
    return SourceError(f"NewsAPI's response does not have the documented form: {first['loc']}: {first['msg']}")


def _error_message(response: _Response) -> str:
    return plain(f"NewsAPI error {response.code}: {response.message}", MAX_TITLE)


def _article(raw: object) -> Article | None:
    """Return None if it has no link or title, or was removed. Raises SourceError if it is not an article."""
    try:
        item = _Item.model_validate(raw)
    except ValidationError as error:
        raise _malformed(error) from None
    url, title = safe_link(item.url), plain_from_html(item.title or "", MAX_TITLE)
    if not url or not title or title == "[Removed]":
        return None
    publisher = plain(item.source.name or "", MAX_NAME)
    return Article(
        source="newsapi",
        external_id=url,
        kind=ArticleKind.NEWS,
        title=title.removesuffix(f" - {publisher}") or title,
        abstract=plain_from_html(item.description or "", MAX_ABSTRACT),
        authors=tuple(name for name in (plain(item.author or "", MAX_NAME), publisher) if name),
        url=url,
        categories=(),
        published_at=parse_time(item.publishedAt),
    )
