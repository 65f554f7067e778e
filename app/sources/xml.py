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
# Between two entries: an entry has some 50 tags, or some thousand with HTML, and each costs 130 bytes of tree.
_MAX_TAGS: Final = 300_000
_GIANT_TAG = re.compile(rb"<[^!<>][^<>]{65536}")
_FEED_ROOTS: Final = frozenset({"rss", "RDF", "feed"})
_HTML_START = re.compile(rb"^\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_HTML_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,200})", re.IGNORECASE)
_BAD_AMPERSAND = re.compile(
    rb"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9A-Fa-f]{1,6});)(?:(?P<name>[A-Za-z][A-Za-z0-9]{1,30});)?"
)
# Beyond it, it is no small mistake; mending this many takes some 30 ms.
_MAX_MENDED: Final = 50_000
_CONTROL_CHARACTERS: Final = bytes(code for code in range(32) if code not in b"\t\n\r")

T = TypeVar("T")


async def read_feed(
    page: Fetched, tags: Sequence[str], convert: Callable[[Element], T | None], *, limit: int, lenient: bool
) -> list[T]:
    """Convert the elements with these tags (`{*}item`), in order, until `limit` of them gave a value.

    With `lenient`, small mistakes are mended and the feed is read again.
    Raises SourceError for what is no feed, broken, cut short, declares entities, or is built to be expensive.
    """
    host = page.url.split("/")[2]
    _refuse_bombs(page.body, host)
    try:
        return await _parse(page, page.body, tags, convert, limit)
    except etree.XMLSyntaxError as error:
        if not lenient:
            raise SourceError(f"{host} sent broken XML: {error.msg}") from error
    try:
        return await _parse(page, _mended(page.body), tags, convert, limit)
    except etree.XMLSyntaxError as error:
        raise SourceError(f"{host} sent broken XML: {error.msg}") from error


def _mended(body: bytes) -> bytes:
    """Mend what publishers get wrong most: HTML's entities, bare ampersands, control characters."""
    return _BAD_AMPERSAND.sub(_written_out, body, _MAX_MENDED).translate(None, _CONTROL_CHARACTERS)


def _written_out(ampersand: re.Match[bytes]) -> bytes:
    point = html.entities.name2codepoint.get((ampersand["name"] or b"").decode("ascii"))
    return b"&#%d;" % point if point else b"&amp;" + ampersand[0][1:]


def _refuse_bombs(body: bytes, host: str) -> None:
    if _HTML_START.search(body[:1_000]):
        title = _HTML_TITLE.search(body[:10_000])
        said = f" ({title[1].decode('utf-8', 'replace').strip()!r})" if title else ""
        raise SourceError(f"{host} answered with an HTML page{said}, not a feed")
    if not body.strip():
        raise SourceError(f"{host} answered with an empty document")
    if b"<!ENTITY" in body:
        raise SourceError(f"{host} sent XML that declares entities, which is not read")
    if _GIANT_TAG.search(body):
        raise SourceError(f"{host} sent XML with a tag of more than {_SLICE} bytes")


async def _parse(
    page: Fetched,
    body: bytes,
    tags: Sequence[str],
    convert: Callable[[Element], T | None],
    limit: int,
) -> list[T]:
    parser = etree.XMLPullParser(
        events=("end",),
        tag=tags,
        encoding=_encoding(page, body),
        resolve_entities=False,
        no_network=True,
        remove_comments=True,
        remove_pis=True,
    )
    found: list[T] = []
    tags_kept = 0
    for start in range(0, len(body), _SLICE):
        piece = body[start : start + _SLICE]
        parser.feed(piece)
        taken = _take(parser, convert, found, limit)
        if len(found) >= limit:
            return found
        tags_kept = 0 if taken else tags_kept + piece.count(b"<")
        if tags_kept > _MAX_TAGS:
            raise SourceError(f"{page.url.split('/')[2]} sent XML with more than {_MAX_TAGS} tags in one entry")
        await asyncio.sleep(0)
    name = etree.QName(parser.close()).localname
    _take(parser, convert, found, limit)
    if name not in _FEED_ROOTS:
        raise SourceError(f"{page.url.split('/')[2]} sent an XML document of <{name}>, not a feed")
    return found


def _take(parser: "etree.XMLPullParser", convert: Callable[[Element], T | None], found: list[T], limit: int) -> int:
    """Convert what is complete until there is enough, and free it; returns how many elements that were."""
    taken = 0
    for _, element in parser.read_events():
        value = convert(element)
        if value is not None:
            found.append(value)
        if len(found) >= limit:
            break
        _forget(element)
        taken += 1
    return taken


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
