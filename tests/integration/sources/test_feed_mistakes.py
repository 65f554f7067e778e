"""Feeds with the mistakes of real publishers: a mistake affects only its item, and a cut is detected."""

from collections.abc import Awaitable, Callable
from datetime import date

import pytest

from app.errors import SourceError
from app.models.articles import Article
from app.sources.feeds import FeedSettings, FeedSource
from app.sources.source import IncompleteSource
from tests.support.fixture_types import Serve
from tests.support.scripted_server import Step
from tests.support.source_responses import MakeFetcher, reply

DAY = date(2026, 11, 28)
Read = Callable[[Step], Awaitable[list[Article]]]
ITEM = b"<item><title>B</title><link>http://a.example/2</link></item>"


@pytest.fixture
def read(serve: Serve, make_fetcher: MakeFetcher) -> Read:
    """Read one response through the adapter."""

    async def fetch(step: Step) -> list[Article]:
        server = await serve(step)
        settings = FeedSettings("invented", f"{server.url}/feeds/all.xml")
        return await FeedSource(make_fetcher(), settings, today=lambda: DAY).fetch(DAY)

    return fetch


def rss(items: bytes, attributes: bytes = b"") -> bytes:
    return b"<rss " + attributes + b"><channel>" + items + b"</channel></rss>"


def item(content: bytes) -> bytes:
    return rss(b"<item><title>A</title>" + content + b"</item>" + ITEM)


TITLES: dict[str, tuple[bytes, list[str]]] = {
    "undeclared prefixes": (item(b"<dc:creator>J</dc:creator><x:y z:a='1'/>"), ["A", "B"]),
    "a blank line first": (b"\n \n<?xml version='1.0'?>" + item(b""), ["A", "B"]),
    "text before it": (b"Warning: x\n<?xml version='1.0'?>" + item(b""), ["A", "B"]),
    "text after the end": (item(b"") + b"<!-- x --><script>1 < 2</script> and more", ["A", "B"]),
    "one byte of Latin-1": (item(b"").replace(b"A<", b"Caf\xe9 \xc3\xa9<"), ["Café é", "B"]),
    "cp1252 as Latin-1": (
        b"<?xml version='1.0' encoding='iso-8859-1'?>" + item(b"").replace(b"A<", b"\x93A\x94<"),
        ["\u201cA\u201d", "B"],
    ),
    "an encoding unknown": (b"<?xml version='1.0' encoding='x-none'?>" + item(b""), ["A", "B"]),
    "a bare <": (item(b"<description>1 < 2</description>"), ["A", "B"]),
    "a tag that is not closed": (rss(b"<item><title>A<b></title></item>" + ITEM), ["B"]),
    "attributes without quotes": (item(b"<guid isPermaLink=false>1</guid>"), ["A", "B"]),
    "an unknown entity": (item(b"<description>&nope; &#X41;</description>"), ["A", "B"]),
    "a namespace of RSS": (rss(b"<item><title>A</title></item>", b'xmlns="http://backend.userland.com/rss2"'), ["A"]),
    "Atom 0.3": (
        b'<feed version="0.3" xmlns="http://purl.org/atom/ns#"><entry><title mode="escaped" type="text/html">'
        b"A &amp;lt; &lt;b&gt;B&lt;/b&gt;</title></entry></feed>",
        ["A < B"],
    ),
    "base64 of Atom 0.3": (
        b'<feed version="0.3" xmlns="http://purl.org/atom/ns#"><entry><title mode="base64">QSA8Yj5CPC9iPg==</title>'
        b"</entry></feed>",
        ["A <b>B</b>"],
    ),
    "TeX in a title": (
        rss(b"<item><title>Erd\\H{o}s and $p&lt;q$ of Schr\\\"odinger</title></item>"),
        ["Erdős and $p<q$ of Schrödinger"],
    ),
    "a title of Dublin Core": (
        rss(b"<item><dc:title>A</dc:title></item>", b'xmlns:dc="http://purl.org/dc/elements/1.1/"'),
        ["A"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TITLES)
async def test_a_mistake_affects_only_its_item(read: Read, name: str) -> None:
    body, titles = TITLES[name]
    assert [article.title for article in await read(reply(body))] == titles


@pytest.mark.parametrize(
    ("element", "prefix"),
    [
        (b"<dcterms:issued>2026-11-28</dcterms:issued>", b'xmlns:dcterms="http://purl.org/dc/terms/"'),
        (b"<p:publicationDate>2026-11-28</p:publicationDate>", b'xmlns:p="http://prismstandard.org/namespaces/basic/2.0/"'),
        (b"<dcterms:issued>2026-11-28</dcterms:issued>", b""),
        (b"<pubDate>Sat, 28 Nov 2026 01:00:00 CET</pubDate>", b""),
        (b"<pubDate>not yet</pubDate><pubDate>28 November 2026</pubDate>", b""),
        (b"<pubDate>Nov 28, 2026 12:00 AM</pubDate>", b""),
    ],
)  # fmt: skip
async def test_times_are_found_in_every_form(read: Read, element: bytes, prefix: bytes) -> None:
    (article,) = await read(reply(rss(b"<item><title>A</title>" + element + b"</item>", prefix)))
    assert str(article.published_at) == "2026-11-28 00:00:00+00:00"


@pytest.mark.parametrize(
    ("link", "address"),
    [
        (b"<link>http://a.example/a b|c</link>", "http://a.example/a%20b%7Cc"),
        (b"<link>HTTP://a.example/A</link>", "http://a.example/A"),
        (b"<link>\nhttp://a.example/\na\n</link>", "http://a.example/a"),
        (b'<link xml:base="http://b.example/x/" href="y"/>', "http://b.example/x/y"),
        (b'<link rel="self" href="http://a.example/self"/><link href="http://a.example/1"/>', "http://a.example/1"),
        (b"<id>http://a.example/3</id>", "http://a.example/3"),
        (b"<guid>tag:1</guid><guid>http://a.example/4</guid>", "http://a.example/4"),
    ],
)
async def test_links_are_read_as_browsers_do(read: Read, link: bytes, address: str) -> None:
    (article,) = await read(reply(rss(b"<item><title>A</title>" + link + b"</item>")))
    assert article.url == address


async def test_xml_base_of_enclosing_elements_applies(read: Read) -> None:
    feed = b'<feed xmlns="http://www.w3.org/2005/Atom" xml:base="http://b.example/x/">'
    entry = b'<entry xml:base="y/"><title>A</title><link href="z"/></entry></feed>'
    (article,) = await read(reply(feed + entry))
    assert article.url == "http://b.example/x/y/z"


@pytest.mark.parametrize(
    ("author", "names"),
    [
        (b"j@a.example (Jane Roe)", ("Jane Roe",)),
        (b"Jane Roe &lt;j@a.example&gt;", ("Jane Roe",)),
        (b"Jane Roe (j@a.example)", ("Jane Roe",)),
        (b"j@a.example", ()),
        (b"Jane G\\'omez", ("Jane Gómez",)),
        (b"Jane (Physics) Roe", ("Jane (Physics) Roe",)),
    ],
)
async def test_authors_are_names_without_addresses(read: Read, author: bytes, names: tuple[str, ...]) -> None:
    (article,) = await read(reply(rss(b"<item><title>A</title><author>" + author + b"</author></item>")))
    assert article.authors == names


@pytest.mark.parametrize("end", [b"<item><title>C", b"<item><title>C</title>", b"<item><title><![CDATA[C", b""])
async def test_a_feed_that_was_cut_off_is_incomplete(read: Read, end: bytes) -> None:
    with pytest.raises(IncompleteSource, match="cut short") as caught:
        await read(reply(b"<rss><channel>" + ITEM + end))
    assert [article.title for article in caught.value.articles] == ["B"]


async def test_a_response_shorter_than_announced_is_an_error(read: Read) -> None:
    with pytest.raises(SourceError, match="could not be read"):
        await read(reply(item(b""), headers="Content-Length: 50000\r\n"))
