"""The sample edition, as the production code reads it."""

import asyncio
import json
import signal
import sys
from datetime import UTC, date, datetime

import httpx
import pytest

from app.models import Article, ArticleKind
from app.sources.arxiv import ArxivSettings, ArxivSource
from app.sources.feeds import FeedSettings, FeedSource
from app.sources.fetcher import HttpFetcher
from app.sources.pacer import Pacer
from embedded.sample.server import SampleHosts, serve_sample
from tests.integration.sources.conftest import MakeFetcher


def arxiv(fetcher: HttpFetcher, hosts: SampleHosts, *, page_size: int = 500, max_papers: int = 2_000) -> ArxivSource:
    settings = ArxivSettings(base_url=hosts.arxiv_base_url, page_size=page_size, max_papers=max_papers)
    return ArxivSource(fetcher, settings, Pacer(interval=0))


@pytest.mark.parametrize("day", [date(1999, 12, 31), date(2024, 2, 29), date(2031, 7, 1)])
async def test_every_day_has_its_sample(make_fetcher: MakeFetcher, day: date) -> None:
    async with serve_sample(day) as hosts:
        papers = await arxiv(make_fetcher(), hosts).fetch(day)
        feeds = [FeedSource(make_fetcher(), feed, today=lambda: day) for feed in hosts.feeds]
        news = [article for feed in feeds for article in await feed.fetch(day)]
    assert 30 <= len(papers) <= 60
    assert 10 <= len(news) <= 20
    for article in (*papers, *news):
        check(article, day)
    assert len({paper.categories[0].partition(".")[0] for paper in papers}) >= 10
    assert {paper.kind for paper in papers} == {ArticleKind.PAPER}


def check(article: Article, day: date) -> None:
    """A sample is whole, of its day, marked, and leads nowhere real."""
    assert article.is_sample
    assert article.url is not None
    assert httpx.URL(article.url).host == "example.org"
    assert article.published_at is not None
    assert article.published_at.date() == day
    assert len(article.abstract) > 80


async def test_pages_are_served_as_arxiv_does(make_fetcher: MakeFetcher) -> None:
    day = date(2025, 3, 4)
    async with serve_sample(day) as hosts:
        paged = await arxiv(make_fetcher(), hosts, page_size=7).fetch(day)
        assert paged == await arxiv(make_fetcher(), hosts).fetch(day)
        assert len(await arxiv(make_fetcher(), hosts, max_papers=5).fetch(day)) == 5
    assert paged[0].external_id == "2513.00001"
    assert paged[0].published_at == datetime(2025, 3, 4, 0, 30, tzinfo=UTC)


async def test_arxivs_rss_has_the_same_papers_less_the_replaced(make_fetcher: MakeFetcher) -> None:
    day = date(2025, 3, 4)
    async with serve_sample(day) as hosts:
        feed = FeedSettings("arXiv", f"{hosts.arxiv_base_url}/rss/cs.LG")
        announced = await FeedSource(make_fetcher(), feed).fetch(day)
        papers = {paper.external_id: paper for paper in await arxiv(make_fetcher(), hosts).fetch(day)}
    assert announced
    for paper in announced:
        same = papers[paper.external_id]
        assert (paper.kind, paper.title, paper.abstract) == (ArticleKind.PAPER, same.title, same.abstract)
        assert paper.authors == same.authors
        assert int(paper.external_id[-5:]) % 3 != 0


@pytest.mark.parametrize(
    "query", ["", "?search_query=submittedDate:[20251301000 TO x]&start=x", "?search_query=a&start=-1"]
)
async def test_a_query_that_arxiv_would_refuse_is_refused(query: str) -> None:
    async with serve_sample(date(2025, 3, 4)) as hosts, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{hosts.arxiv_base_url}/api/query{query}")).status_code == 400


async def test_the_command_serves_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "embedded.sample", "--date", "2025-03-04"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        hosts = json.loads(await process.stdout.readline())
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(hosts["feeds"][0]["url"])
        assert answer.text.count("<item>") == 3
    finally:
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
