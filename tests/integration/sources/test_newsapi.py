"""NewsAPI's adapter with a server on loopback and responses of the documented form."""

import json
from datetime import UTC, date, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from app.errors import SourceError, SourceUnavailable
from app.models.articles import Article, ArticleKind
from app.sources.fetcher import FetchFailed
from app.sources.newsapi import NewsApiSettings, NewsApiSource
from tests.support.fixture_types import Serve
from tests.support.scripted_server import Step
from tests.support.source_responses import MakeFetcher, redirect, reply

DAY = date(2025, 3, 4)


def answer(content: object, status: int = 200) -> Step:
    return reply(json.dumps(content).encode(), status=status, kind="application/json")


def item(**changes: object) -> dict[str, object]:
    return {
        "source": {"id": None, "name": "The Invented"},
        "author": "Eve Writer",
        "title": "A robot folds <i>laundry</i> - The Invented",
        "description": "At last.\u0000",
        "url": "https://news.example/robot",
        "publishedAt": "2025-03-04T10:11:12Z",
        **changes,
    }


async def test_a_days_articles_are_read(serve: Serve, make_fetcher: MakeFetcher) -> None:
    others = [item(title="[Removed]"), item(url="javascript:alert(1)"), item(), item(title=None)]
    server = await serve(answer({"status": "ok", "totalResults": 5, "articles": [item(), *others]}))
    settings = NewsApiSettings("k-123", query="robots", base_url=server.url)
    articles = await NewsApiSource(make_fetcher(), settings).fetch(DAY)
    assert articles == [
        Article(
            source="newsapi",
            external_id="https://news.example/robot",
            kind=ArticleKind.NEWS,
            title="A robot folds laundry",
            abstract="At last.",
            authors=("Eve Writer", "The Invented"),
            url="https://news.example/robot",
            published_at=datetime(2025, 3, 4, 10, 11, 12, tzinfo=UTC),
        )
    ]
    query = parse_qs(urlsplit(server.seen[0].removeprefix("GET ")).query)
    assert (query["q"], query["from"], query["to"]) == (["robots"], ["2025-03-04T00:00:00"], ["2025-03-04T23:59:59"])
    assert "x-api-key: k-123" in server.heads[0].lower()
    assert "k-123" not in server.seen[0] + repr(settings)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            answer({"status": "error", "code": "apiKeyInvalid", "message": "Your API key is invalid."}, 401),
            "^HTTP 401 Unauthorized from 127.0.0.1: NewsAPI error apiKeyInvalid: Your API key is invalid",
        ),
        (answer({"status": "error", "code": "rateLimited", "message": "Too many."}), "NewsAPI error rateLimited: Too"),
        (reply(b"<html>busy</html>", status=429), "^HTTP 429 Too Many Requests from 127.0.0.1$"),
        (reply(b"<html>busy</html>", kind="text/html"), "does not have the documented form"),
        (answer([]), "does not have the documented form"),
        (answer({"status": "ok", "articles": [{"title": 7}]}), "does not have the documented form.*title"),
        (redirect("/elsewhere"), "more than 3 redirects"),
    ],
)
async def test_a_failure_is_a_source_error_with_the_reason(
    serve: Serve, make_fetcher: MakeFetcher, step: Step, said: str
) -> None:
    server = await serve(step)
    with pytest.raises(SourceError, match=said):
        await NewsApiSource(make_fetcher(), NewsApiSettings("k-123", base_url=server.url)).fetch(DAY)


@pytest.mark.parametrize(
    "body", [b"<html>busy</html>", b'{"status": "error", "code": "rateLimited", "message": "Slow."}']
)
async def test_its_retry_after_is_kept(serve: Serve, make_fetcher: MakeFetcher, body: bytes) -> None:
    server = await serve(reply(body, status=429, kind="application/json", headers="Retry-After: 90\r\n"))
    source = NewsApiSource(make_fetcher(), NewsApiSettings("k-123", base_url=server.url))
    with pytest.raises(SourceError) as busy:
        await source.fetch(DAY)
    assert isinstance(busy.value, SourceUnavailable | FetchFailed)
    assert busy.value.retry_after == 90
