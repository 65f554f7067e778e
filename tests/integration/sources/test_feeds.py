"""The feed adapter with a server on loopback: feeds of all formats, and documents that are no feeds."""

import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime

import pytest

from app.errors import SourceError
from app.models.articles import Article, ArticleKind
from app.sources.feeds import FeedSettings, FeedSource
from tests.support.fixture_types import ReadFile, Serve
from tests.support.scripted_server import Step
from tests.support.source_responses import MakeFetcher, reply

DAY = date(2025, 3, 4)
LAUGHS = b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 20) for n in range(10))
Read = Callable[..., Awaitable[list[Article]]]


@pytest.fixture
def read(serve: Serve, make_fetcher: MakeFetcher) -> Read:
    """Read one response through the adapter."""

    async def fetch(step: Step, source_date: date = DAY, *, max_items: int = 200, today: date = DAY) -> list[Article]:
        server = await serve(step)
        settings = FeedSettings("invented", f"{server.url}/rss/all", max_items=max_items)
        articles = await FeedSource(make_fetcher(), settings, today=lambda: today).fetch(source_date)
        return [a.model_copy(update={"url": a.url and a.url.replace(server.url, "http://feed")}) for a in articles]

    return fetch


def rss(items: bytes) -> Step:
    return reply(b'<rss version="2.0"><channel><title>x</title>' + items + b"</channel></rss>")


async def test_rss_is_read_as_plain_text_with_safe_links(read: Read, feed_file: ReadFile) -> None:
    first, evening, undated = await read(reply(feed_file("news-rss.xml"), kind="text/html"))
    assert first == Article(
        source="feed:invented",
        external_id="ice-1",
        kind=ArticleKind.NEWS,
        title="Lab & field agree: ice remembers",
        abstract="Cores tell of warm winters.",
        authors=("The Desk",),
        url="http://feed/2025/ice?a=1&b=2",
        categories=("Climate",),
        published_at=datetime(2025, 3, 4, 7, 15, tzinfo=UTC),
    )
    assert (evening.title, evening.abstract) == ("Yesterday evening's item", "Only the full text is there.")
    assert (undated.title, undated.url) == ("Without a time", None)


async def test_items_belong_to_their_day_or_the_next(read: Read, feed_file: ReadFile) -> None:
    feed = reply(feed_file("news-rss.xml"))
    titles = {day: [a.title for a in await read(feed, date(2025, 3, day))] for day in (1, 2, 3, 4, 5, 6)}
    assert titles[2] == ["Older than the edition"]
    assert titles[3] == ["Yesterday evening's item", "Older than the edition", "Without a time"]
    assert titles[5] == ["Lab & field agree: ice remembers"]
    assert titles[1] == titles[6] == []


async def test_atom_is_read_with_every_text_type(read: Read, feed_file: ReadFile) -> None:
    (entry,) = await read(reply(feed_file("news-atom.xml")))
    assert entry.title == "Why <b> is not bold, and this was"
    assert entry.abstract == "Text within elements."
    assert (entry.authors, entry.url) == (("Cleo Writer",), "https://blog.example/1")
    assert entry.published_at == datetime(2025, 3, 4, 6, 0, tzinfo=UTC)


async def test_rdf_in_another_encoding_is_read(read: Read, feed_file: ReadFile) -> None:
    (item,) = await read(reply(feed_file("news-rdf.xml")))
    assert (item.title, item.authors, item.url) == ("Café physics", ("D. Author",), "https://journal.example/a")


async def test_the_headers_encoding_is_the_default(read: Read) -> None:
    body = b"<rss><channel><item><title>Caf\xe9</title></item></channel></rss>"
    (item,) = await read(reply(body, kind="text/xml; charset=iso-8859-1"))
    assert item.title == "Café"


async def test_arxivs_own_rss_gives_its_new_papers(read: Read, feed_file: ReadFile) -> None:
    (paper,) = await read(reply(feed_file("arxiv-rss.xml")))
    assert (paper.kind, paper.external_id) == (ArticleKind.PAPER, "2513.00011")
    assert paper.abstract == "We bound the error when p<q and r>s."
    assert paper.authors == ("Ada First", "Bo Second")
    assert paper.pdf_url == "https://arxiv.org/pdf/2513.00011"


async def test_arxivs_recorded_atom_feed_is_read(read: Read, recorded: ReadFile) -> None:
    body = recorded("arxiv-atom-cs.AI.xml")
    papers = await read(reply(body), date(2025, 8, 20), today=date(2025, 8, 20))
    assert len(papers) == body.count(b"<entry>") - body.count(b">replace")
    assert papers[0].external_id == "2508.13426"
    assert papers[0].title.startswith("ALIGN: Word Association Learning")
    assert papers[0].authors == ("Chunhua Liu", "Kabir Manandhar Shrestha", "Sukai Huang")
    for paper in papers:
        assert paper.kind is ArticleKind.PAPER
        assert paper.abstract
        assert "Announce Type" not in paper.abstract
        assert paper.url == f"https://arxiv.org/abs/{paper.external_id}"


@pytest.mark.parametrize(
    ("names", "arxiv_id", "doi"),
    [
        (b"<p2:doi>10.1038/S1</p2:doi>", None, "10.1038/s1"),
        (b"<p1:doi>10.1038/S1</p1:doi>", None, "10.1038/s1"),
        (b"<dc:identifier>doi:10.1101/2026.1</dc:identifier>", None, "10.1101/2026.1"),
        (b"<dc:identifier>ISSN 1</dc:identifier><link>https://doi.org/10.1101/2</link>", None, "10.1101/2"),
        (b"<guid isPermaLink='false'>doi:10.1101/3</guid>", None, "10.1101/3"),
        (b"<link>https://arxiv.org/abs/2513.00011v2</link>", "2513.00011", None),
        (b"<other:doi>10.1038/s1</other:doi>", None, None),
        (b"<p2:doi>" + b"10.1038/x " * 200_000 + b"</p2:doi>", None, "10.1038/x"),
        (b"<p2:doi>nonsense</p2:doi>" * 900 + b"<dc:identifier>10.1101/4</dc:identifier>", None, "10.1101/4"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_identifiers_of_papers_are_read_from_feeds(
    read: Read, names: bytes, arxiv_id: str | None, doi: str | None
) -> None:
    prefixes = (
        b'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:other="http://example.org/"'
        b' xmlns:p1="http://purl.org/rss/1.0/modules/prism/"'
        b' xmlns:p2="http://prismstandard.org/namespaces/basic/2.0/"'
    )
    feed = b"<rss " + prefixes + b"><channel><item><title>A paper</title>" + names + b"</item></channel></rss>"
    (item,) = await read(reply(feed))
    assert (item.arxiv_id, item.doi) == (arxiv_id, doi)


async def test_small_errors_are_tolerated(read: Read) -> None:
    (item,) = await read(rss(b"<item><title>Fish&nbsp;& chips \x08&eacute; &unheardof; end</title></item>"))
    assert item.title == "Fish & chips é &unheardof; end"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (reply(b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head></html>"), "HTML page .'502 Bad"),
        (reply(b'{"error": "not here"}', kind="application/json"), "broken XML"),
        (reply(b"%PDF-1.7 " + bytes(range(256))), "broken XML"),
        (reply(b" \n "), "empty document"),
        (reply(b"<opml version='2.0'><body/></opml>"), "of <opml>, not a feed"),
        (reply(b"<rss><channel><item><title>cut sh"), "cut short: Premature end"),
        (reply(b"<!DOCTYPE l [" + LAUGHS + b"]><rss><item><title>&k;</title></item></rss>"), "declares entities"),
        (
            reply(
                b'<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/hostname">]><rss><item><title>&a;</title></item></rss>'
            ),
            "declares entities",
        ),
        (reply(("<!DOCTYPE l [" + LAUGHS.decode() + "]><rss>&k;</rss>").encode("utf-16")), "sent"),
        (rss(b"<item>" + b"<a>" * 10_000 + b"</a>" * 10_000 + b"</item>"), "broken XML: Excessive depth"),
        (rss(b"<item>" + b"<a/>" * 400_000 + b"</item>"), "more than 300000 tags in one entry"),
        (rss(b"<item " + b" ".join(b'a%d=""' % n for n in range(20_000)) + b"/>"), "a tag of more than 65536 bytes"),
        (reply(b"<" * 4_000_000), "more than 300000 tags in one entry"),
    ],
)
async def test_a_document_that_is_no_feed_is_a_source_error(read: Read, step: Step, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        await read(step)


async def test_a_very_large_entry_is_shortened(read: Read) -> None:
    giant = b"word and <b>another</b> or a third, " * 60_000
    (item,) = await read(
        rss(
            b"<item><title><![CDATA[" + giant + b"]]></title><link>http://a/" + b"x" * 9_999 + b"</link>"
            b"<guid>" + b"g" * 100_000 + b"</guid><description><![CDATA[" + giant + b"]]></description></item>"
        )
    )
    assert len(item.title) <= 300
    assert len(item.abstract) <= 6_000
    assert item.url is None
    assert item.external_id.startswith("sha256:")


async def test_a_feed_over_the_size_limit_is_refused(read: Read) -> None:
    with pytest.raises(SourceError, match="more than 5000000 bytes"):
        await read(rss(b"<item><title>" + b"A" * 5_000_000 + b"</title></item>"))


async def test_a_long_feed_gives_its_first_items(read: Read) -> None:
    items = b"".join(b"<item><title>Item %d</title></item>" % n for n in range(90_000))
    tracemalloc.start()
    try:
        articles = await read(rss(items), max_items=7)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [article.title for article in articles] == [f"Item {n}" for n in range(7)]
    assert peak < 4 * len(items)


async def test_items_with_the_same_id_are_one(read: Read) -> None:
    items = b"<item><title>One</title><guid>1</guid></item><item><title>Other</title><guid>1</guid></item>"
    assert len(await read(rss(items))) == 1
