"""The sample edition, as the production code reads it."""

import asyncio
import json
import re
import signal
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest

import app.sources
from app.errors import SourceError
from app.models.articles import Article, ArticleKind
from app.sources.arxiv import ArxivSettings, ArxivSource
from app.sources.arxiv_client import ArxivClient
from app.sources.arxiv_listing import DailyListing
from app.sources.arxiv_oai import OaiPmh
from app.sources.biorxiv import BiorxivSettings, BiorxivSource
from app.sources.crossref import Crossref, CrossrefSettings
from app.sources.feeds import FeedSettings, FeedSource
from app.sources.fetcher import HttpFetcher
from app.sources.newsapi import NewsApiSettings, NewsApiSource
from app.sources.rate_limiter import RateLimiter
from embedded.sample.server import SampleHosts, serve_sample
from tests.support.source_responses import MakeFetcher


def arxiv(fetcher: HttpFetcher, hosts: SampleHosts, *, page_size: int = 500, max_papers: int = 2_000) -> ArxivSource:
    settings = ArxivSettings(base_url=hosts.arxiv_base_url, page_size=page_size, max_papers=max_papers)
    return ArxivSource(fetcher, settings, RateLimiter(interval=0))


@pytest.mark.parametrize("day", [date(1999, 12, 31), date(2024, 2, 29), date(2031, 7, 1)])
async def test_every_day_has_a_sample(make_fetcher: MakeFetcher, day: date) -> None:
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
    """A sample is complete, of its day, marked as a sample, and has no real links."""
    assert article.is_sample
    assert article.url is not None
    assert httpx.URL(article.url).host == "example.org"
    assert article.published_at is not None
    assert article.published_at.date() == day
    assert len(article.abstract) > 80


async def test_pages_are_served_like_arxiv(make_fetcher: MakeFetcher) -> None:
    day = date(2025, 3, 4)
    async with serve_sample(day) as hosts:
        paged = await arxiv(make_fetcher(), hosts, page_size=7).fetch(day)
        assert paged == await arxiv(make_fetcher(), hosts).fetch(day)
        assert len(await arxiv(make_fetcher(), hosts, max_papers=5).fetch(day)) == 5
    assert paged[0].external_id == "2513.00001"
    assert paged[0].published_at == datetime(2025, 3, 4, 0, 30, tzinfo=UTC)


async def test_the_rss_feed_has_all_papers_except_replaced_ones(make_fetcher: MakeFetcher) -> None:
    day = date(2025, 3, 4)
    async with serve_sample(day) as hosts:
        feed = FeedSettings("arXiv", f"{hosts.arxiv_base_url}/rss/cs.LG")
        announced = await FeedSource(make_fetcher(), feed).fetch(day + timedelta(days=1))
        papers = {paper.external_id: paper for paper in await arxiv(make_fetcher(), hosts).fetch(day)}
    assert len(announced) == len(papers)
    for paper in announced:
        same = papers[paper.external_id]
        assert (paper.kind, paper.title, paper.abstract) == (ArticleKind.PAPER, same.title, same.abstract)
        assert paper.authors == same.authors


async def test_each_access_path_has_the_same_papers(make_fetcher: MakeFetcher) -> None:
    day, client = date(2025, 3, 3), ArxivClient(make_fetcher(), RateLimiter(interval=0))
    async with serve_sample(day) as hosts:
        url = hosts.arxiv_base_url
        by_api = await arxiv(make_fetcher(), hosts).fetch(day)
        by_oai = await OaiPmh(client, url, ["cs.AI"], attempts=1, now=lambda: datetime(2025, 3, 4, tzinfo=UTC)).fetch(
            day, 0
        )
        by_listing = await DailyListing(client, url, ["cs.AI", "math"]).fetch(day, 0)
    for papers in (by_oai, by_listing):
        assert [(each.external_id, each.title, each.abstract, each.authors, each.categories) for each in papers] == [
            (each.external_id, each.title, each.abstract, each.authors, each.categories) for each in by_api
        ]
    assert [each.published_at for each in by_oai] == [each.published_at for each in by_api]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("verb=Identify", "badVerb"),
        ("verb=ListRecords&from=2025-03-04", "cannotDisseminateFormat"),
        ("verb=ListRecords&metadataPrefix=arXivRaw&from=yesterday", "badArgument"),
        ("verb=ListRecords&resumptionToken=x", "badResumptionToken"),
    ],
)
async def test_a_wrong_oai_request_gets_the_protocols_error(query: str, code: str) -> None:
    async with serve_sample(date(2025, 3, 4)) as hosts, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{hosts.arxiv_base_url}/oai?{query}")
    assert f'code="{code}"' in answer.text


async def test_papers_are_found_by_their_ids(make_fetcher: MakeFetcher) -> None:
    async with serve_sample(date(2025, 3, 4)) as hosts:
        source = arxiv(make_fetcher(), hosts)
        ids = ["2513.00002", "2005.14165", "2513.00001", "hep-th/9901001", *(f"2513.1{n:04d}" for n in range(96))]
        found = await source.look_up(ids)
        assert await source.look_up(["2005.14165"]) == [], "arXiv's real papers are unknown here"
    assert {paper.external_id for paper in found} == {"2513.00001", "2513.00002"}
    assert all(paper.is_sample for paper in found)


async def test_a_malformed_id_affects_no_other(make_fetcher: MakeFetcher) -> None:
    async with serve_sample(date(2025, 3, 4)) as hosts:
        found = await arxiv(make_fetcher(), hosts).look_up(["2513.00001", "no id", "2513.00002"])
    assert len(found) == 2


@pytest.mark.parametrize("categories", [(), ("cs",), ("cs.AI", "stat.ML", "q-bio")])
async def test_any_categories_have_papers(categories: tuple[str, ...], make_fetcher: MakeFetcher) -> None:
    async with serve_sample(date(2025, 3, 4)) as hosts:
        settings = ArxivSettings(base_url=hosts.arxiv_base_url, categories=categories)
        found = await ArxivSource(make_fetcher(), settings, RateLimiter(interval=0)).fetch(date(2025, 3, 3))
    assert len(found) >= 30


@pytest.mark.parametrize("server", ["biorxiv", "medrxiv"])
async def test_the_preprint_servers_have_sample_papers(make_fetcher: MakeFetcher, server: str) -> None:
    day = date(2025, 3, 4)
    async with serve_sample(day) as hosts:
        settings = BiorxivSettings(server, base_url=hosts.arxiv_base_url)
        preprints = await BiorxivSource(make_fetcher(), settings, RateLimiter(interval=0)).fetch(day)
        papers = {paper.title: paper for paper in await arxiv(make_fetcher(), hosts).fetch(day)}
    assert len(preprints) >= 2
    assert all(paper.abstract == papers[paper.title].abstract for paper in preprints)
    assert all(paper.authors == papers[paper.title].authors for paper in preprints)


async def test_crossref_knows_the_samples_dois(make_fetcher: MakeFetcher) -> None:
    async with serve_sample(date(2025, 3, 4)) as hosts:
        client = Crossref(make_fetcher(), CrossrefSettings(hosts.arxiv_base_url), RateLimiter(interval=0))
        found = await client.look_up([f"10.5555/broadsheet-sample.{n}" for n in (1, 2)] + ["10.1000/1"])
        assert await client.look_up(["10.1000/1"]) == []
        assert len(await client.look_up(["10.5555/broadsheet-sample.3"])) == 1
    assert [article.doi for article, _ in found] == [f"10.5555/broadsheet-sample.{n}" for n in (1, 2)]


async def test_the_newsapi_emulator_has_the_samples_news(make_fetcher: MakeFetcher) -> None:
    day = date(2025, 3, 4)
    async with serve_sample(day) as hosts:
        settings = NewsApiSettings("a-key", base_url=hosts.newsapi_base_url)
        news = await NewsApiSource(make_fetcher(), settings).fetch(day)
        with pytest.raises(SourceError, match="apiKeyMissing"):
            await NewsApiSource(make_fetcher(), replace(settings, api_key="")).fetch(day)
    assert len(news) >= 10
    assert {(article.kind, article.published_at.date() if article.published_at else None) for article in news} == {
        (ArticleKind.NEWS, day)
    }


def test_every_source_module_is_tested_here() -> None:
    sources = Path(app.sources.__file__).parent
    asking = {path.stem for path in sources.glob("*.py") if "_fetcher.get(" in path.read_text(encoding="utf-8")}
    # Zotero is not a source of editions: tests/integration/worker/test_library_sync.py tests it.
    assert asking - {"zotero"} == {"arxiv_client", "biorxiv", "crossref", "feeds", "newsapi"}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "search_query=cat:cs.AI&start=x",
        "search_query=cat:cs.AI&start=-1",
        "search_query=cat:cs.AI&max_results=2001",
        "search_query=cat:cs.AI&sortBy=size",
        "search_query=cat:cs.AI&sortOrder=up",
        "search_query=submittedDate:[202513010000 TO 202513012359]",
        "search_query=submittedDate:[2025 TO 2026]",
        "id_list=2513.1,no id",
    ],
)
async def test_a_query_that_arxiv_would_refuse_is_refused(query: str) -> None:
    async with serve_sample(date(2025, 3, 4)) as hosts, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{hosts.arxiv_base_url}/api/query?{query}")
    assert answer.status_code == 400
    assert "arxiv.org/api/errors#" in answer.text


@pytest.mark.parametrize(
    ("query", "papers"),
    [
        ("search_query=cat:cs.AI&max_results=3", ["2513.00001", "2513.00002", "2513.00003"]),
        ("search_query=submittedDate:[202503040100 TO 202503040130]", ["2513.00002", "2513.00003"]),
        (
            "search_query=submittedDate:[202503040000 TO 202503040130]&sortBy=submittedDate&sortOrder=descending",
            ["2513.00003", "2513.00002", "2513.00001"],
        ),
        ("id_list=2513.00002v1&max_results=5", ["2513.00002"]),
        ("search_query=submittedDate:[202503040000 TO 202503040030]&id_list=2513.00002,2513.00001", ["2513.00001"]),
        ("id_list=2513.00002&start=1", []),
    ],
)
async def test_dates_ids_order_and_pages_work_like_arxiv(query: str, papers: list[str]) -> None:
    async with serve_sample(date(2025, 3, 4)) as hosts, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{hosts.arxiv_base_url}/api/query?{query}")
    assert answer.status_code == 200
    assert re.findall(r"<id>http://arxiv.org/abs/(2513\.\d{5})v1</id>", answer.text) == papers


async def test_the_command_runs_until_interrupted() -> None:
    command = [sys.executable, "-m", "embedded.sample", "--date", "2025-03-04"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        # A shell that runs the tests in the background makes its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        hosts = json.loads(await process.stdout.readline())
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(hosts["feeds"][0]["url"])
        assert answer.text.count("<item>") == 3
    finally:
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
