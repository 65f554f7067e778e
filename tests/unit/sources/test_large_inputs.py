"""With 5 MB of worst-case input, no parser or cleaner of the sources holds the event loop for 150 ms."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from functools import partial

import pytest

from app.errors import SourceError
from app.sources.arxiv_atom import read_page
from app.sources.arxiv_id import arxiv_id
from app.sources.dates import parse_time
from app.sources.feed_entry import read_item
from app.sources.fetcher import Fetched
from app.sources.newsapi import NewsApiSettings, NewsApiSource
from app.sources.text import plain, plain_from_html, safe_link, shorten
from app.sources.xml import read_feed
from tests.support.loop_blocking import longest_hold

DAY = date(2025, 3, 4)
SIZE = 4_900_000
LONGEST = 0.15
WORST = [
    "@", ",", "(", "<", "&", "a", "A. ", "1", ". A", " ", "\u0301", "\u4e2d", "&amp;", "&#64;", "<b>", "<p>", "../",
    "/", "http://", "%41", "a@b ", "arXiv:", "2201.", "\u202e", "\ud800", "\0", "Mon, ", "00:", "\u0130", '"', "[",
]  # fmt: skip
"""Patterns that a text repeats."""


async def longest_step(work: Callable[[], Awaitable[object]]) -> float:
    result, hold = await longest_hold(work, LONGEST)
    assert not isinstance(result, Exception) or isinstance(result, SourceError), result
    return hold


def rss(items: bytes, count: int = 1) -> bytes:
    return b'<rss xmlns:dc="http://purl.org/dc/elements/1.1/"><channel>' + items * count + b"</channel></rss>"


def item(tag: str, text: bytes, before: bytes = b"", behind: bytes = b"") -> bytes:
    """A feed of one item in which this element repeats `text`."""
    start = (b"" if tag == "title" else b"<title>x</title>") + f"<{tag}>".encode() + before
    return rss(b"<item>" + start + text * (SIZE // len(text)) + behind + f"</{tag}></item>".encode())


def numbered(pattern: bytes, count: int) -> bytes:
    return b"".join(pattern.replace(b"N", b"%d" % number) for number in range(count))


MODEL = b"<!ELEMENT a (" + b"b," * 2_000_000 + b"b)>]><rss><channel/></rss>"
NOT_IN_XML = {"<", "&", "<b>", "<p>", "\ud800", "\0"}
DOCUMENTS: dict[str, Callable[[], bytes]] = {
    **{
        f"{tag} of {text!r}": partial(item, tag, text.encode(errors="replace"))
        for tag in ("author", "description", "title", "guid", "link", "pubDate", "category")
        for text in WORST
        if text not in NOT_IN_XML
    },
    # The end matches nothing: only then does a pattern try every possibility.
    **{
        f"author of {text!r} and an end": partial(
            rss,
            b"<item><title>x</title><author>" + text.encode() * (11_000 // len(text)) + b" x x(</author></item>",
            99,
        )
        for text in WORST
        if text not in NOT_IN_XML
    },
    **{
        f"html of {text!r}": partial(item, "description", text, b"<![CDATA[", b"]]>")
        for text in (
            b"<a>",
            b"<b><i>",
            b"<table><tr><td>",
            b"<!--",
            b"&",
            b"<",
            b"<p>",
            b'<a href="',
            b"<select><option>",
        )
    },
    **{
        f"nothing but {text!r}": partial(rss, text, SIZE // len(text))
        for text in (b"<item/>", b"<item><title/></item>", b"<a/>", b"<item>", b"<item><a>")
    },
    **{
        f"bare {text!r}": partial(bytes.__mul__, text, SIZE // len(text))
        for text in (b"<", b"&", b" ", b"<!---->", b"<a>", b"<title", b"\x01")
    },
    "many authors": lambda: rss(b"<item><title>x</title>" + b"<author>a&lt;b</author>" * 140_000 + b"</item>"),
    "many categories": lambda: rss(b"<item><title>x</title>" + b'<category term="x"/>' * 200_000 + b"</item>"),
    "many names": lambda: rss(b"<item>" + numbered(b"<nN/>", 280_000) + b"</item>"),
    "elements without text": lambda: rss(
        b"<item><title>x</title><description>" + b"<a/>" * 290_000 + b"</description></item>"
    ),
    "many namespaces": lambda: rss(numbered(b'<item xmlns:nN="uN"><title>x</title></item>', 90_000)),
    "many attributes": lambda: rss((b"<a " + numbered(b' aN=""', 7_000) + b"/>") * 60),
    "to be mended": lambda: item("description", b"&amp;") + b"&",
    "to be mended everywhere": lambda: item("description", b"&nbsp;"),
    "never an entity": lambda: item("description", b"&abcdefghijklmnopqrstuvwxyzabcde"),
    "an html page": lambda: b" " * 900 + b"<html>" + b"<title" * 800_000,
    "a long element model": lambda: b"<!DOCTYPE x [" + MODEL,
    "... behind a quoted bracket": lambda: b'<!DOCTYPE x SYSTEM "a>" [' + MODEL,
    "... behind a control character": lambda: b"<!DOC\x01TYPE x [" + MODEL,
    "... behind blanks": lambda: b" " * 200_000 + b"<!DOCTYPE x [" + MODEL,
    "... in utf-16": lambda: (b"<!DOCTYPE x [" + MODEL).decode().encode("utf-16"),
    "... in another alphabet": lambda: (
        b"<?xml version='1.0' encoding='cp037'?>" + ("<!DOCTYPE x [" + MODEL.decode()).encode("cp037")
    ),
    "a tag in utf-7": lambda: (
        b'<?xml version="1.0" encoding="UTF-7"?>+ADw-rss' + numbered(b" aN+AD0AIg-+ACI-", 200_000)
    ),
    "a tag in utf-16": lambda: (b"<rss " + numbered(b' aN=""', 200_000) + b"/>").decode().encode("utf-16"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_large_feed_does_not_hold_the_loop(name: str) -> None:
    page = Fetched("https://feed.example/rss", None, DOCUMENTS[name]())

    def read() -> Awaitable[object]:
        tags, convert = ("{*}item", "{*}entry"), partial(read_item, base=page.url)
        return read_feed(page, tags, convert, limit=200, lenient=True)

    assert await longest_step(read) < LONGEST


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if "author" in name or " of " not in name])
async def test_a_large_arxiv_page_does_not_hold_the_loop(name: str) -> None:
    body = DOCUMENTS[name]().replace(b"<item", b"<entry").replace(b"</item", b"</entry")
    body = body.replace(b"<rss", b'<feed xmlns="http://www.w3.org/2005/Atom"', 1).replace(b"</rss", b"</feed")
    page = Fetched("https://export.arxiv.org/api/query", None, body)
    assert await longest_step(lambda: read_page(page, limit=501)) < LONGEST


class FixedFetcher:
    """A fetcher with a response, shortened like the real one shortens it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def get(self, url: str, *, max_bytes: int, **_options: object) -> Fetched:
        return Fetched(url, "utf-8", self._body[:max_bytes])


@pytest.mark.parametrize(
    "articles",
    [
        b"{},",
        b"1,",
        b"[",
        b'{"a":',
        b'"@",',
        b'{"title":7},',
        b"1e9,",
        b'"\\u0000",',
        b'{"title":"@","url":"http://a"},',
    ],
)
async def test_a_large_newsapi_response_does_not_hold_the_loop(articles: bytes) -> None:
    start, size = b'{"status":"ok","articles":[', 1_000_000
    body = start + articles * ((size - len(start) - 3) // len(articles)) + b"1]}"
    source = NewsApiSource(FixedFetcher(body), NewsApiSettings("key"))  # type: ignore[arg-type]  # as far as it is used
    assert await longest_step(lambda: source.fetch(DAY)) < LONGEST


@pytest.mark.parametrize(
    "cleaner",
    [
        lambda text: plain(text, 6_000), lambda text: plain_from_html(text, 6_000), lambda text: shorten(text, 100),
        safe_link, lambda text: safe_link(f"https://{text}"), parse_time, arxiv_id,
    ],
    ids=["plain", "html", "shorten", "link", "host", "time", "id"],
)  # fmt: skip
@pytest.mark.parametrize("size", [60, 2_000, 6_000, 5_000_000])
async def test_a_large_text_does_not_hold_the_loop(cleaner: Callable[[str], object], size: int) -> None:
    async def clean(piece: str) -> None:
        await asyncio.sleep(0)
        for end in ("", " x x("):
            cleaner(piece * (size // len(piece)) + end)

    for piece in WORST:
        assert await longest_step(partial(clean, piece)) < LONGEST, piece
