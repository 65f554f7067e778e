"""Feeds of papers: journals' contents, saved searches and alerts, joined with the papers' arXiv copies."""

from datetime import UTC, date, datetime

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.articles import Article, ArticleKind
from app.persistence.editions import Editions
from app.sources.feeds import FeedSettings, FeedSource
from tests.support.fixture_types import Serve
from tests.support.source_responses import MakeFetcher, reply

DAY = date(2026, 11, 28)
JOURNAL = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
  xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:prism="http://prismstandard.org/namespaces/basic/2.0/">
  <item rdf:about="https://journal.example/articles/1"><title>Glaciers Remember the Radar of Their Youth</title>
    <link>https://journal.example/articles/1</link><dc:date>2026-11-28</dc:date>
    <prism:doi>10.1000/Glacier.1</prism:doi><prism:publicationName>Journal of Ice</prism:publicationName></item>
  <item rdf:about="https://journal.example/articles/2"><title>The Editor Recommends</title>
    <link>https://journal.example/articles/2</link><dc:date>2026-11-28</dc:date></item>
</rdf:RDF>"""
PUBMED = """<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel>
  <item><title>Sleep and Memory in the Common Octopus</title><link>https://pubmed.ncbi.nlm.nih.gov/40000001/</link>
    <guid isPermaLink="false">pubmed:40000001</guid><pubDate>Sat, 28 Nov 2026 06:00:00 -0500</pubDate>
    <dc:identifier>pmid:40000001</dc:identifier><dc:identifier>doi:10.1000/sleep.7</dc:identifier>
    <description>&lt;p&gt;We watched them.&lt;/p&gt;</description></item></channel></rss>"""
ALERT = """<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>tag:alert.example,2026:1</id>
  <title>Sparse Gradients Are All That Is Needed</title><link href="https://doi.org/10.1000/sparse.3"/>
  <updated>2026-11-28T10:00:00Z</updated></entry></feed>"""
NEWS = """<rss version="2.0" xmlns:prism="http://prismstandard.org/namespaces/basic/2.0/"><channel>
  <item><title>What the week brought to science</title><link>https://www.nature.com/articles/d41586-026-01234-5</link>
    <prism:doi>10.1038/d41586-026-01234-5</prism:doi><pubDate>Sat, 28 Nov 2026 06:00:00 GMT</pubDate></item>
  <item><title>A paper on the same journal's feed</title><link>https://www.nature.com/articles/s41586-026-01234-5</link>
    <prism:doi>10.1038/s41586-026-01234-5</prism:doi><pubDate>Sat, 28 Nov 2026 06:00:00 GMT</pubDate></item>
</channel></rss>"""


def arxiv_copy(number: int, title: str, doi: str | None = None) -> Article:
    name = f"2611.{number:05d}"
    return Article(
        source="arxiv", external_id=name, kind=ArticleKind.PAPER, title=title, abstract="Long.", arxiv_id=name, doi=doi
    )


async def read(make_fetcher: MakeFetcher, serve: Serve, text: str, name: str = "papers") -> list[Article]:
    server = await serve(reply(text.encode()))
    return await FeedSource(make_fetcher(), FeedSettings(name, server.url), today=lambda: DAY).fetch(DAY)


@pytest.mark.parametrize(
    ("text", "papers"),
    [
        (JOURNAL, [("10.1000/glacier.1", ArticleKind.PAPER), (None, ArticleKind.NEWS)]),
        (PUBMED, [("10.1000/sleep.7", ArticleKind.PAPER)]),
        (ALERT, [("10.1000/sparse.3", ArticleKind.PAPER)]),
        (NEWS, [("10.1038/d41586-026-01234-5", ArticleKind.NEWS), ("10.1038/s41586-026-01234-5", ArticleKind.PAPER)]),
    ],
    ids=["journal", "saved search", "alert", "news of a journal"],
)
async def test_an_entry_with_a_doi_is_a_paper(
    make_fetcher: MakeFetcher, serve: Serve, text: str, papers: list[tuple[str | None, ArticleKind]]
) -> None:
    assert [(each.doi, each.kind) for each in await read(make_fetcher, serve, text)] == papers


async def test_a_paper_of_a_feed_joins_its_arxiv_copy(
    make_fetcher: MakeFetcher, serve: Serve, client: AsyncClient, database: asyncpg.Connection
) -> None:
    editions = Editions(client)
    await editions.begin_edition(DAY)
    await editions.save_articles(DAY, [arxiv_copy(1, "Glaciers and radar", "10.1000/glacier.1")])
    await editions.save_articles(DAY, [arxiv_copy(2, "Sleep and memory in the common octopus")])
    for number, text in enumerate((JOURNAL, PUBMED, ALERT)):
        await editions.save_articles(DAY, await read(make_fetcher, serve, text, f"feed{number}"))
    rows = await database.fetch(
        "select array_agg(source order by source) as sources from public.articles where kind = 'paper' group by item_id"
    )
    assert sorted(row["sources"] for row in rows) == [["arxiv", "feed:feed0"], ["arxiv", "feed:feed1"], ["feed:feed2"]]


async def test_an_issue_of_the_future_belongs_to_today(make_fetcher: MakeFetcher, serve: Serve) -> None:
    dated_later = PUBMED.replace("28 Nov 2026", "15 Jan 2027").replace("Sat", "Fri")
    (paper,) = await read(make_fetcher, serve, dated_later)
    assert paper.published_at == datetime(2027, 1, 15, 11, tzinfo=UTC)
    server = await serve(reply(dated_later.encode()))
    source = FeedSource(make_fetcher(), FeedSettings("papers", server.url), today=lambda: date(2026, 12, 24))
    assert await source.fetch(DAY) == [], "not to every earlier day"
