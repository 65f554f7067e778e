"""A day's news on a subject from NewsAPI, for those who have a key."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from app.errors import SourceError, SourceUnavailable
from app.models import Article, ArticleKind
from app.sources.fetcher import FetchFailed, HttpFetcher
from app.sources.source import end_of
from app.sources.text import MAX_ABSTRACT, MAX_NAME, MAX_TITLE, parse_time, plain, plain_from_html, safe_link

# A page of 100 articles has some 150 kB, and is read in one step.
_MAX_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class NewsApiSettings:
    """What is searched for; `query` in NewsAPI's syntax. The key never shows up in a `repr`."""

    api_key: str = field(repr=False)
    query: str = '"artificial intelligence" OR "machine learning" OR "scientists"'
    language: str = "en"
    base_url: str = "https://newsapi.org"
    max_items: int = 100
    """NewsAPI's largest page, and all that its free plan gives."""


class _Publisher(BaseModel):
    name: str | None = None


class _Item(BaseModel):
    title: str | None = None
    description: str | None = None
    url: str | None = None
    author: str | None = None
    source: _Publisher = _Publisher()
    publishedAt: str | None = None  # noqa: N815  -- NewsAPI's spelling


class _Answer(BaseModel):
    status: str
    code: str | None = None
    message: str | None = None
    articles: list[Any] = []
    """Read one by one: a list of half a million broken ones must not become half a million complaints."""


class NewsApiSource:
    """The articles of a day (UTC) that match a query, newest first: https://newsapi.org/docs/endpoints/everything."""

    def __init__(self, fetcher: HttpFetcher, settings: NewsApiSettings) -> None:
        self._fetcher = fetcher
        self._settings = settings

    @property
    def name(self) -> str:
        """What these articles carry as `source`."""
        return "newsapi"

    @property
    def essential(self) -> bool:
        """News never delays an edition."""
        return False

    def complete_from(self, source_date: date) -> datetime:
        """The free plan has articles a day late: https://newsapi.org/pricing."""
        return end_of(source_date) + timedelta(days=1)

    async def fetch(self, source_date: date) -> list[Article]:
        """Return the day's articles. Raises SourceError, with NewsAPI's own message where there is one."""
        answer = _read(await self._answer(source_date))
        if answer.status != "ok":
            raise SourceError(_complaint(answer))
        articles = (_article(item) for item in answer.articles[: self._settings.max_items])
        return list({article.external_id: article for article in articles if article}.values())

    async def _answer(self, source_date: date) -> bytes:
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
            answer = await self._fetcher.get(url, params=params, headers=headers, max_bytes=_MAX_BYTES)
        except FetchFailed as error:
            try:
                complaint = _complaint(_read(error.body))
            except SourceError:
                raise error from None
            reason = f"{error}: {complaint}"
            if error.transient:
                raise SourceUnavailable(reason, retry_after=error.retry_after) from error
            raise SourceError(reason) from error
        return answer.body


def _read(body: bytes) -> _Answer:
    try:
        return _Answer.model_validate_json(body)
    except ValidationError as error:
        raise _malformed(error) from None


def _malformed(error: ValidationError) -> SourceError:
    first = error.errors(include_input=False, include_url=False)[0]
    return SourceError(f"NewsAPI's answer is not of the documented form: {first['loc']}: {first['msg']}")


def _complaint(answer: _Answer) -> str:
    return plain(f"NewsAPI says {answer.code}: {answer.message}", MAX_TITLE)


def _article(raw: object) -> Article | None:
    """None for what has no link or title, or was taken back since. Raises SourceError for what is no article."""
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
