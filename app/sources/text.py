"""Text and links from outside, made plain, short and safe to store and to show.

Every function cuts what it gets before anything looks at it, so that none takes longer for 5 MB than for a page.
"""

import re
from itertools import islice
from typing import Final
from urllib.parse import quote, urlsplit

from lxml import etree, html
from lxml.etree import _Element as Element

MAX_TITLE: Final = 300
MAX_ABSTRACT: Final = 6_000
MAX_NAME: Final = 120
MAX_AUTHORS: Final = 100
MAX_CATEGORIES: Final = 20
MAX_CATEGORY: Final = 60
MAX_LINK: Final = 2_000

# Around a link there may be blanks, as many as these and no more.
_MAX_SPACE: Final = 500
# Control characters and lone surrogates (jsonb refuses some of them), and the marks that reverse the direction of text.
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
_UNSAFE_IN_LINK = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff<>\"\\^`{|}]")
_LINE_BREAKS: Final = {ord(character): None for character in "\t\r\n"}
# Mathematics in which "<" begins no tag.
_FORMULA: Final = re.compile(r"\$[^$<>]{1,200}<[^$<>]{1,200}\$")
_OFTEN_FORGOTTEN: Final = re.compile(r"[ <>\"\\^`{|}]")
_INVISIBLE = ("script", "style", "noscript", "template", "iframe", "svg", "math", "head", "title")
_BLOCKS = ("p", "div", "br", "li", "ul", "ol", "td", "th", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote")
# Markup is longer than its text; this much of it is read for each character wanted.
MARKUP_PER_CHARACTER: Final = 8
_MAX_ELEMENTS: Final = 10_000


def shorten(text: str, limit: int) -> str:
    """Cut `text` to at most `limit` characters, at a word where there is one, and mark the cut with an ellipsis."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    at_word = kept.rsplit(" ", 1)[0]
    return (at_word if len(at_word) > limit // 2 else kept).rstrip(" ,;:.-") + "…"


def content(element: Element, limit: int) -> str:
    """Return an element's text, its children's included, cut to `limit` characters; none of too many children."""
    if not len(element):
        return (element.text or "")[:limit]
    if next(islice(element.iter(), _MAX_ELEMENTS, None), None) is not None:
        return ""  # Elements without a text are walked through, however many there are.
    text = ""
    for piece in islice(element.itertext(), limit):
        text += piece[: limit - len(text)]
        if len(text) >= limit:
            break
    return text


def plain(text: str, limit: int) -> str:
    """Return `text` on one line, without control characters, in at most `limit` characters.

    What looks like markup stays as it is: in an abstract, `p<q` is mathematics.
    """
    return shorten(" ".join(_UNSAFE.sub("", text[: limit * MARKUP_PER_CHARACTER]).split()), limit)


def plain_from_html(markup: str, limit: int) -> str:
    """Return the text that a reader of this HTML would see, as `plain` does; scripts and styles are omitted."""
    markup = _UNSAFE.sub("", markup[: limit * MARKUP_PER_CHARACTER])
    markup = _FORMULA.sub(lambda found: found[0].replace("<", "&lt;"), markup)
    if "<" not in markup and "&" not in markup:
        return plain(markup, limit)
    try:
        root = html.fromstring(f"<div>{markup}</div>")
    except etree.LxmlError:
        return ""
    etree.strip_elements(root, *_INVISIBLE, with_tail=False)
    for block in root.iter(*_BLOCKS):
        block.text = f" {block.text or ''}"
        block.tail = f" {block.tail or ''}"
    return plain("".join(root.itertext(with_tail=True)), limit)


def safe_link(url: str | None) -> str | None:
    """Return the link if a browser may follow it: http or https, with a host and without a login; otherwise None."""
    url = url.strip() if url and len(url) <= MAX_LINK + _MAX_SPACE else ""
    if not url or len(url) > MAX_LINK or _UNSAFE_IN_LINK.search(url):
        return None
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  -- reading it is what raises for a port that is none
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc else None


def mended_link(url: str | None) -> str | None:
    """Return `safe_link` of an address in which characters are encoded that publishers often forget to encode.

    Browsers read `HTTP://a.example/a b` as `http://a.example/a%20b`, and ignore line breaks.
    """
    url = (url or "")[: MAX_LINK + _MAX_SPACE].strip()
    scheme, _, rest = url.translate(_LINE_BREAKS).partition("://")
    host, slash, path = rest.partition("/")
    return safe_link(f"{scheme.lower()}://{host}{slash}{_OFTEN_FORGOTTEN.sub(lambda found: quote(found[0]), path)}")
