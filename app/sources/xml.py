"""Hostile XML, read in slices: bounded in memory, and never holding the event loop for long."""

import asyncio
import html.entities
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from lxml import etree
from lxml.etree import _Element as Element

from app.errors import SourceError
from app.sources.fetcher import Fetched

# A slice of this size takes some 2 ms to parse; the loop has its turn between two of them.
_SLICE: Final = 65_536
# A page of 500 papers has 26,000 tags. What has more than this would cost 130 bytes of tree for each.
_MAX_TAGS: Final = 300_000
_GIANT_TAG = re.compile(rb"<[^!<>][^<>]{65536}")
_FEED_ROOTS: Final = frozenset({"rss", "RDF", "feed"})
_FEED_END = re.compile(rb"</(?:\w+:)?(?:rss|RDF|feed)\s*>\s*(?:<!--.*?-->\s*)*\Z", re.DOTALL)
_HTML_START = re.compile(rb"^\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_HTML_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,200})", re.IGNORECASE)
_NAMED_ENTITY = re.compile(rb"&([A-Za-z][A-Za-z0-9]{1,30});")
_OF_XML = frozenset({b"amp", b"lt", b"gt", b"quot", b"apos"})

T = TypeVar("T")


async def read_feed(
    page: Fetched, tags: Sequence[str], convert: Callable[[Element], T | None], *, limit: int, lenient: bool
) -> list[T]:
    """Convert the elements with these tags (`{*}item`), in order, until `limit` of them gave a value.

    With `lenient`, a complete feed with an undefined entity or a bare ampersand is mended, as browsers would.
    Raises SourceError for what is no feed, broken, cut short, declares entities, or is built to be expensive.
    """
    host = page.url.split("/")[2]
    _refuse_bombs(page.body, host)
    try:
        return await _parse(page, page.body, tags, convert, limit, recover=False)
    except etree.XMLSyntaxError as error:
        if not (lenient and _FEED_END.search(page.body[-2_000:])):
            raise SourceError(f"{host} sent broken XML: {error.msg}") from error
    try:
        return await _parse(page, _NAMED_ENTITY.sub(_numeric, page.body), tags, convert, limit, recover=True)
    except etree.XMLSyntaxError as error:
        raise SourceError(f"{host} sent XML that is beyond mending: {error.msg}") from error


def _refuse_bombs(body: bytes, host: str) -> None:
    if _HTML_START.search(body[:1_000]):
        title = _HTML_TITLE.search(body[:10_000])
        said = f" ({title[1].decode('utf-8', 'replace').strip()!r})" if title else ""
        raise SourceError(f"{host} answered with an HTML page{said}, not a feed")
    if not body.strip():
        raise SourceError(f"{host} answered with an empty document")
    if b"<!ENTITY" in body:
        raise SourceError(f"{host} sent XML that declares entities, which is not read")
    if body.count(b"<") > _MAX_TAGS or _GIANT_TAG.search(body):
        raise SourceError(f"{host} sent XML with more than {_MAX_TAGS} tags, or with one of over {_SLICE} bytes")


async def _parse(
    page: Fetched,
    body: bytes,
    tags: Sequence[str],
    convert: Callable[[Element], T | None],
    limit: int,
    *,
    recover: bool,
) -> list[T]:
    parser = etree.XMLPullParser(
        events=("end",),
        tag=tags,
        encoding=_encoding(page, body),
        resolve_entities=False,
        no_network=True,
        recover=recover,
        remove_comments=True,
        remove_pis=True,
    )
    found: list[T] = []
    for start in range(0, len(body), _SLICE):
        parser.feed(body[start : start + _SLICE])
        if _take(parser, convert, found, limit):
            return found
        await asyncio.sleep(0)
    root: Element | None = parser.close()
    _take(parser, convert, found, limit)
    # With `recover`, lxml returns no root at all where it found nothing to mend.
    name = etree.QName(root).localname if root is not None else "nothing"
    if name not in _FEED_ROOTS:
        raise SourceError(f"{page.url.split('/')[2]} sent an XML document of <{name}>, not a feed")
    return found


def _take(parser: "etree.XMLPullParser", convert: Callable[[Element], T | None], found: list[T], limit: int) -> bool:
    """Convert what is complete, freeing it; True once there is enough."""
    for _, element in parser.read_events():
        value = convert(element)
        if value is not None:
            found.append(value)
        if len(found) >= limit:
            return True
        _forget(element)
    return False


def _forget(element: Element) -> None:
    """Free an element and what stood before it, so that a long feed does not become a large tree."""
    element.clear(keep_tail=False)
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _encoding(page: Fetched, body: bytes) -> str | None:
    """Return the encoding of the HTTP header where the document itself declares none (RFC 7303)."""
    declared = b"encoding" in body[:100] or body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))
    if declared or page.charset is None:
        return None
    try:
        "".encode(page.charset)
    except LookupError:
        return None
    return page.charset


def _numeric(entity: re.Match[bytes]) -> bytes:
    """`&nbsp;` as `&#160;`: HTML's entities, which XML does not know."""
    point = html.entities.name2codepoint.get(entity[1].decode("ascii"))
    return entity[0] if point is None or entity[1] in _OF_XML else b"&#%d;" % point
