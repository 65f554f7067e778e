"""Hostile XML, read in slices: bounded in memory, and never holding the event loop for long."""

import asyncio
import codecs
import html.entities
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from lxml import etree
from lxml.etree import _Element as Element

from app.errors import SourceError
from app.sources.encodings import STEP, incremental_decoder
from app.sources.fetcher import Fetched
from app.sources.text import shorten

# A slice of this size takes some 2 ms to parse; the loop has its turn between two of them.
_SLICE: Final = 65_536
# Between two entries: an entry has some 50 tags, or some thousand with HTML, and each costs 130 bytes of tree.
_MAX_TAGS: Final = 300_000
# Of those that nothing came of, such as entries without a title.
_MAX_ENTRIES: Final = 20_000
_ENTRIES_A_TURN: Final = 200
_MAX_PROLOG: Final = 100
_PROLOG: Final = ((b"<?", b"?>"), (b"<!--", b"-->"))
_BRACKET = re.compile(rb"[<>\[]")
_NO_SPACE = re.compile(rb"[^ \t\r\n\xef\xbb\xbf]")
_GIANT_TAG = re.compile(rb"<[^!<>][^<>]{65536}")
_FEED_ROOTS: Final = frozenset({"rss", "RDF", "feed"})
_ROOT_END = re.compile(rb"</(?:[\w.-]{1,40}:)?(?:rss|rdf|feed)\s{0,100}>", re.IGNORECASE)
_HTML_START = re.compile(rb"<(?:!doctype\s{1,20}html|html)\b", re.IGNORECASE)
_HTML_TITLE = re.compile(rb"<title[^<>]{0,100}>\s{0,100}([^<]{1,200})", re.IGNORECASE)
_DECLARED = re.compile(rb"<\?xml[^<>]{1,200}encoding\s{0,20}=\s{0,20}[\"']([\w.:-]{1,40})[\"']", re.ASCII)
# In all of these the byte of "<" is always a "<", which is what the look at the bytes below relies on.
_ENCODINGS = re.compile(
    r"utf-?8|(us-)?ascii|iso[-_]?8859[-_]\d{1,2}|latin-?[1-9]|(windows-|cp)125\d|koi8-[ru]|macintosh|tis-620"
    r"|gb2312|gbk|gb18030|big5|euc-(jp|kr|tw)|shift[-_]jis",
    re.IGNORECASE,
)
_BAD_AMPERSAND = re.compile(
    rb"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9A-Fa-f]{1,6});)"
    rb"(?:(?P<name>[A-Za-z][A-Za-z0-9]{1,30});|#X(?P<hex>[0-9A-Fa-f]{1,6});)?"
)
_BARE_LESS = re.compile(rb"<(?![A-Za-z_:/!?\x80-\xff])")
# Beyond it, it is no small mistake; mending this many takes some 30 ms.
_MAX_MENDED: Final = 50_000
_START: Final = 1_000
_MAX_REASON: Final = 200
_CONTROL_CHARACTERS: Final = bytes(code for code in range(32) if code not in b"\t\n\r")

# Errors after which the parser reads nothing more, although it recovers from others.
_STOPPED: Final = frozenset({etree.ErrorTypes.ERR_INTERNAL_ERROR, etree.ErrorTypes.ERR_RESOURCE_LIMIT})

T = TypeVar("T")


class FeedCutShort(SourceError):
    """The document ends before its root element does; `found` is what came before."""

    def __init__(self, message: str, found: Sequence[object]) -> None:
        super().__init__(message)
        self.found = found


async def read_feed(
    page: Fetched, tags: Sequence[str], convert: Callable[[Element], T | None], *, limit: int, lenient: bool
) -> list[T]:
    """Convert the elements with these tags (`{*}item`), in order, until `limit` of them gave a value.

    With `lenient`, mistakes are mended, and what cannot be mended costs only the place where it stands.
    Raises `FeedCutShort` for a document without an end, SourceError for what is no feed, broken, declares entities, or
    is built to be expensive.
    """
    host = page.url.split("/")[2]
    body = await _as_utf8(page, host)
    try:
        return await _parse(host, body, tags, convert, limit)
    except etree.XMLSyntaxError as error:
        if not lenient:
            raise SourceError(f"{host} sent broken XML: {shorten(error.msg, _MAX_REASON)}") from error
        reason = shorten(error.msg, _MAX_REASON)
    body = _mended(body)
    try:
        found = await _parse(host, body, tags, convert, limit, recover=True)
    except etree.XMLSyntaxError as error:
        raise SourceError(f"{host} sent broken XML: {shorten(error.msg, _MAX_REASON)}") from error
    if len(found) < limit and not _ROOT_END.search(body):
        raise FeedCutShort(f"{host} sent a feed that was cut short: {reason}", found)
    return found


async def _as_utf8(page: Fetched, host: str) -> bytes:
    """Return the document in UTF-8, in which alone the look at the bytes below finds what it looks for."""
    body, encoding = _decoded(page, host)
    if encoding == "utf-8":
        try:
            body.decode()
        except UnicodeDecodeError:
            pass
        else:
            return body
    decoder, pieces = incremental_decoder(encoding), list[bytes]()
    for start in range(0, len(body), STEP):
        text = decoder.decode(body[start : start + STEP], start + STEP >= len(body))
        pieces.append(text.encode("utf-8", "replace"))
        await asyncio.sleep(0)
    return b"".join(pieces)


def _decoded(page: Fetched, host: str) -> tuple[bytes, str]:
    """Return the document and its encoding: by its first bytes, its declaration, the HTTP header (RFC 7303), or UTF-8.

    Raises SourceError for an encoding that nobody uses for feeds.
    """
    body = page.body
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"<\0", b"\0<")):
        name = "utf-16" if body[0] > b"<"[0] else "utf-16-le" if body[0] else "utf-16-be"
        return body, name
    body = body.removeprefix(codecs.BOM_UTF8).lstrip()
    declared = _DECLARED.match(body[:_START])
    encoding = declared[1].decode("ascii") if declared else page.charset or "utf-8"
    if not _ENCODINGS.fullmatch(encoding):
        if declared and _is_codec(encoding):
            raise SourceError(f"{host} sent XML in the encoding {encoding!r}, which is not read")
        encoding = "utf-8"
    return body, "utf-8" if encoding.lower() in {"utf8", "utf-8"} else encoding


def _is_codec(name: str) -> bool:
    try:
        return bool(codecs.lookup(name))
    except LookupError:
        return False


def _mended(body: bytes) -> bytes:
    """Mend what publishers get wrong most: HTML's entities, bare & and <, control characters, a false start."""
    body = body[max(0, body[:_START].find(b"<")) :]
    body = _BAD_AMPERSAND.sub(_written_out, body, _MAX_MENDED).translate(None, _CONTROL_CHARACTERS)
    return _BARE_LESS.sub(b"&lt;", body, _MAX_MENDED)


def local_name(element: Element) -> str:
    """Return an element's name without its namespace, or without a prefix that nothing declares."""
    return str(element.tag).rpartition("}")[2].rpartition(":")[2]


def _written_out(ampersand: re.Match[bytes]) -> bytes:
    if ampersand["hex"]:
        return b"&#x" + ampersand["hex"] + b";"
    point = html.entities.name2codepoint.get((ampersand["name"] or b"").decode("ascii"))
    return b"&#%d;" % point if point else b"&amp;" + ampersand[0][1:]


def _refuse_bombs(body: bytes, host: str) -> None:
    if _HTML_START.match(body[:_START].removeprefix(codecs.BOM_UTF8).lstrip()):
        title = _HTML_TITLE.search(body[: 10 * _START])
        said = f" ({title[1].decode('utf-8', 'replace').strip()!r})" if title else ""
        raise SourceError(f"{host} answered with an HTML page{said}, not a feed")
    if not body.strip():
        raise SourceError(f"{host} answered with an empty document")
    if b"<!ENTITY" in body:
        raise SourceError(f"{host} sent XML that declares entities, which is not read")
    if _has_declarations(body, host):
        raise SourceError(f"{host} sent XML with its own declarations, which are not read")
    if _GIANT_TAG.search(body):
        raise SourceError(f"{host} sent XML with a tag of more than {_SLICE} bytes")


def _has_declarations(body: bytes, host: str) -> bool:
    """Whether the document type holds more than names and addresses: the parser would read all of it in one piece."""
    position = 0
    for _ in range(_MAX_PROLOG):
        start = _NO_SPACE.search(body, position)
        ends = [end for opening, end in _PROLOG if start and body.startswith(opening, start.start())]
        if start is None or not (ends or body.startswith(b"<!", start.start())):
            return False
        if not ends:
            bracket = _BRACKET.search(body, start.end() + 1)
            declaration = body[start.start() : bracket.end()] if bracket else b""
            # With a quote still open, the bracket does not end it.
            return not declaration.endswith(b">") or any(declaration.count(quote) % 2 for quote in (b'"', b"'"))
        found = body.find(ends[0], start.end() + 1)
        if found < 0:
            return False
        position = found + len(ends[0])
    raise SourceError(f"{host} sent XML with more than {_MAX_PROLOG} comments before it begins")


def _parser(tags: Sequence[str], *, recover: bool) -> "etree.XMLPullParser":
    return etree.XMLPullParser(
        events=("end",),
        tag=tags,
        encoding="utf-8",
        recover=recover,
        resolve_entities=False,
        no_network=True,
        remove_comments=True,
        remove_pis=True,
    )


def _require_feed(root: Element | None, host: str) -> None:
    if root is None:
        raise SourceError(f"{host} sent broken XML: it has no element")
    name = local_name(root)
    if name not in _FEED_ROOTS:
        raise SourceError(f"{host} sent an XML document of <{shorten(name, _MAX_REASON)}>, not a feed")


async def _parse(
    host: str,
    body: bytes,
    tags: Sequence[str],
    convert: Callable[[Element], T | None],
    limit: int,
    *,
    recover: bool = False,
) -> list[T]:
    _refuse_bombs(body, host)
    parser = _parser(tags, recover=recover)
    found: list[T] = []
    entries = tags_kept = 0
    for start in range(0, len(body), _SLICE):
        piece = body[start : start + _SLICE]
        parser.feed(piece)
        taken = await _take(parser, convert, found, limit)
        if len(found) >= limit:
            return found
        entries += taken
        tags_kept = 0 if taken else tags_kept + piece.count(b"<")
        if tags_kept > _MAX_TAGS:
            raise SourceError(f"{host} sent XML with more than {_MAX_TAGS} tags in one entry")
        if entries > _MAX_ENTRIES:
            raise SourceError(f"{host} sent more than {_MAX_ENTRIES} entries, most of them empty")
        await asyncio.sleep(0)
    root = parser.close()
    if not recover or _ROOT_END.search(body):
        # Of a document that was cut short, what ends only here has lost its end.
        await _take(parser, convert, found, limit)
    _require_feed(root, host)
    stopped = [error.message for error in parser.feed_error_log if error.type in _STOPPED]
    if stopped:
        raise FeedCutShort(f"{host} sent broken XML: {shorten(stopped[0], _MAX_REASON)}", found)
    return found


async def _take(
    parser: "etree.XMLPullParser", convert: Callable[[Element], T | None], found: list[T], limit: int
) -> int:
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
        if taken % _ENTRIES_A_TURN == 0:
            await asyncio.sleep(0)
    return taken


def _forget(element: Element) -> None:
    """Free an element and what stood before it, so that a long feed does not become a large tree."""
    element.clear(keep_tail=False)
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]
