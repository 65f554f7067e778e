"""One item of a feed, RSS 0.9 to 2.0 or Atom, as plain text; and what arXiv adds to its own."""

import hashlib
import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final
from urllib.parse import urljoin

from lxml.etree import _Element as Element
from lxml.etree import strip_elements

from app.sources.arxiv_id import PDF_PAGE, arxiv_id
from app.sources.dates import parse_time
from app.sources.doi import doi
from app.sources.tex import from_mixed
from app.sources.text import (
    MARKUP_PER_CHARACTER,
    MAX_ABSTRACT,
    MAX_AUTHORS,
    MAX_CATEGORIES,
    MAX_CATEGORY,
    MAX_LINK,
    MAX_NAME,
    MAX_TITLE,
    content,
    mended_link,
    plain,
    plain_from_html,
)
from app.sources.xml import local_name

_PREFIXES: Final = {
    "": "",
    "http://purl.org/atom/ns#": "",
    "http://purl.org/dc/terms/": "dcterms:",
    "http://arxiv.org/schemas/atom/": "arxiv:",
    "http://prismstandard.org/namespaces/basic/1.2/": "prism:",
    "http://www.w3.org/2005/Atom": "",
    "http://purl.org/rss/1.0/": "",
    "http://my.netscape.com/rdf/simple/0.9/": "",
    "http://purl.org/dc/elements/1.1/": "dc:",
    "http://purl.org/rss/1.0/modules/content/": "content:",
    "http://arxiv.org/schemas/atom": "arxiv:",
    "http://search.yahoo.com/mrss/": "media:",
    "http://search.yahoo.com/mrss": "media:",
    "http://purl.org/rss/1.0/modules/prism/": "prism:",
    "http://prismstandard.org/namespaces/1.2/basic/": "prism:",
    "http://prismstandard.org/namespaces/basic/2.0/": "prism:",
    "http://prismstandard.org/namespaces/basic/2.1/": "prism:",
    "http://prismstandard.org/namespaces/basic/3.0/": "prism:",
}
# Prefixes that publishers use without declaring them.
_UNDECLARED: Final = frozenset({"dc", "dcterms", "content", "prism", "arxiv"})
_TIMES: Final = (
    *("published", "pubDate", "issued", "dc:date", "dcterms:issued", "dcterms:available", "dcterms:created", "created"),
    *(
        "dcterms:date",
        "prism:publicationDate",
        "prism:coverDate",
        "updated",
        "modified",
        "dcterms:modified",
        "pubdate",
        "date",
    ),
)
_MAIL: Final = re.compile(r"[^\s@<>()]{1,80}@[^\s@<>()]{1,120}")
_DEEPEST: Final = 20
_ARXIV_NOTICE = re.compile(r"^arXiv:\S{1,40} Announce Type: (?P<type>\S{1,40})\s{1,10}(?:Abstract: ?)?")
_NOTICE: Final = 200
_MAX_NAMES: Final = 5
_MAX_EXTERNAL_ID: Final = 300
# One that is cut here is too long for a link anyway.
_LONG_LINK: Final = 2 * MAX_LINK
# An item has some 15 children; one with very many authors and categories has this many.
_MAX_CHILDREN: Final = 1_000


@dataclass(frozen=True, slots=True)
class FeedItem:
    """What an item says; `is_replacement` marks a new version of a paper that was announced before."""

    external_id: str
    title: str
    abstract: str
    authors: tuple[str, ...]
    url: str | None
    pdf_url: str | None
    categories: tuple[str, ...]
    published_at: datetime | None
    is_paper: bool
    is_replacement: bool
    arxiv_id: str | None
    doi: str | None


class _Fields:
    """An item's children by name; those of unknown vocabularies (iTunes, GeoRSS) are not looked at."""

    def __init__(self, item: Element) -> None:
        self._found: dict[str, list[Element]] = {}
        own = _namespace(item)
        for child in islice(item.iterchildren("*"), _MAX_CHILDREN):
            prefix = _prefix(child, own)
            if prefix is not None:
                self._found.setdefault(prefix + local_name(child), []).append(child)

    def all(self, *names: str) -> list[Element]:
        return [element for name in names for element in self._found.get(name, [])]

    def raw(self, limit: int, *names: str) -> str:
        """The text of the first of these that has any, as it stands, cut to `limit` characters."""
        return next((text for element in self.all(*names) if (text := content(element, limit).strip())), "")

    def text(self, limit: int, *names: str) -> str:
        """The same as plain text: what is declared to be plain is, anything else counts as HTML."""
        texts = (_as_plain(element, limit) for element in self.all(*names))
        return next((text for text in texts if text), "")


def _namespace(element: Element) -> str:
    name = str(element.tag)
    return name[1:].partition("}")[0] if name.startswith("{") else ""


def _prefix(child: Element, own: str) -> str | None:
    """The vocabulary of a child; the item's own is the feed's, whatever namespace a publisher gives it."""
    namespace = _namespace(child)
    if namespace:
        return "" if namespace == own else _PREFIXES.get(namespace)
    undeclared, colon, _ = str(child.tag).partition(":")
    if colon:
        return f"{undeclared}:" if undeclared in _UNDECLARED else None
    return ""


def read_item(item: Element, base: str) -> FeedItem | None:
    """Read an RSS item or an Atom entry; None if it has no title. Relative links are taken from `base`."""
    fields = _Fields(item)
    title = fields.text(MAX_TITLE, "title", "dc:title", "media:title")
    if not title:
        return None
    notice = _ARXIV_NOTICE.match(fields.raw(_NOTICE, "summary", "description"))
    link = _link(fields, base)
    paper = arxiv_id(fields.raw(MAX_LINK, "id", "guid")) or arxiv_id(link or "") if notice else None
    kind_of_news = fields.raw(_NOTICE, "arxiv:announce_type") or (notice["type"] if notice else "")
    return FeedItem(
        external_id=paper or _external_id(fields, link, title),
        title=title,
        abstract=_abstract(fields, is_paper=paper is not None),
        authors=_authors(fields, is_paper=paper is not None),
        url=link,
        pdf_url=PDF_PAGE + paper if paper else None,
        categories=_categories(fields),
        published_at=_time(fields),
        is_paper=paper is not None,
        is_replacement=kind_of_news.startswith("replace"),
        arxiv_id=paper or arxiv_id(link or ""),
        doi=_doi(fields, link),
    )


def _doi(fields: _Fields, link: str | None) -> str | None:
    names = ("prism:doi", "arxiv:doi", "dc:identifier", "guid", "id")
    texts = (content(element, MAX_LINK) for name in names for element in fields.all(name)[:_MAX_NAMES])
    return next((found for text in (*texts, link) if (found := doi(text))), None)


def _time(fields: _Fields) -> datetime | None:
    """The first time that can be read, when the item appeared before when it was changed."""
    texts = (content(element, MAX_NAME) for name in _TIMES for element in fields.all(name)[:_MAX_NAMES])
    return next((time for text in texts if (time := parse_time(text))), None)


def _as_plain(element: Element, limit: int) -> str:
    if len(element):
        strip_elements(element, "{*}script", "{*}style", with_tail=False)
    text = content(element, limit * MARKUP_PER_CHARACTER)
    kind, mode = element.get("type"), element.get("mode")
    if mode == "base64" or kind == "application/octet-stream":
        text = _unpacked(text)
    # Without a type, Atom 0.3 means plain text; publishers mean HTML, except in base64.
    is_text = kind in {"text", "xhtml", "text/plain"} or (kind is None and mode == "base64")
    is_text = is_text or (kind == "application/xhtml+xml" and mode != "escaped")
    return from_mixed(plain(text, limit) if is_text else plain_from_html(text, limit))


def _unpacked(text: str) -> str:
    """What Atom 0.3 calls base64."""
    try:
        return b64decode(text.strip()).decode("utf-8", "replace")
    except ValueError:
        return ""


def _abstract(fields: _Fields, *, is_paper: bool) -> str:
    if is_paper:
        # arXiv's abstracts are plain: read as HTML, "p<q" would lose its end.
        text = fields.raw(MAX_ABSTRACT * MARKUP_PER_CHARACTER, "summary", "description")
        return from_mixed(plain(_ARXIV_NOTICE.sub("", text), MAX_ABSTRACT))
    return fields.text(MAX_ABSTRACT, "summary", "description", "content", "content:encoded")


def _link(fields: _Fields, base: str) -> str | None:
    """The page that the item is about: Atom's alternate link, RSS's link, or a guid that says it is one."""
    for element in fields.all("link"):
        if element.get("rel", "alternate") in {"alternate", ""} and (
            href := element.get("href") or content(element, _LONG_LINK).strip()
        ):
            return _absolute(href, _base_of(element, base))
    for guid in fields.all("guid"):
        if guid.get("isPermaLink", "true").lower() == "true" and (link := mended_link(content(guid, _LONG_LINK))):
            return link
    # What Atom calls an entry is often where it stands.
    for identifier in fields.all("id"):
        text = content(identifier, _LONG_LINK).strip()
        if link := _absolute(text, _base_of(identifier, base)) if text.startswith("/") else mended_link(text):
            return link
    return None


_XML_BASE: Final = "{http://www.w3.org/XML/1998/namespace}base"


def _base_of(element: Element, base: str) -> str:
    """The address from which relative links are taken here (https://www.w3.org/TR/xmlbase/): `base`, or `xml:base`."""
    around = islice(element.iterancestors(), _DEEPEST)
    changes = [change for each in (element, *around) if (change := each.get(_XML_BASE))]
    for change in reversed(changes):
        base = _absolute(change, base) or base
    return base


def _absolute(href: str, base: str) -> str | None:
    if len(href) >= _LONG_LINK:
        return None
    try:
        return mended_link(urljoin(base, href.strip()))
    except ValueError:
        return None


def _external_id(fields: _Fields, link: str | None, title: str) -> str:
    identifier = plain(fields.raw(MAX_LINK, "id", "guid"), _MAX_EXTERNAL_ID + 1) or link or title
    if len(identifier) <= _MAX_EXTERNAL_ID:
        return identifier
    return f"sha256:{hashlib.sha256(identifier.encode()).hexdigest()}"


def _authors(fields: _Fields, *, is_paper: bool) -> tuple[str, ...]:
    names: list[str] = []
    for element in fields.all("author", "dc:creator")[:MAX_AUTHORS]:
        child = element.find("{*}name")
        text = content(element if child is None else child, MAX_AUTHORS * MAX_NAME)
        # arXiv's feeds have all authors of a paper in one element.
        names += text.split(",", MAX_AUTHORS) if is_paper else [_without_mail(text)]
    cleaned = (from_mixed(plain_from_html(name, MAX_NAME)) for name in names[:MAX_AUTHORS])
    return tuple(dict.fromkeys(name for name in cleaned if name))


def _without_mail(author: str) -> str:
    """The name in `mail@host (Name)`, `Name <mail@host>` or `Name (mail@host)`; nothing for the address alone."""
    author = author[: 2 * MAX_NAME].strip()
    mail = _MAIL.search(author)
    if mail is None:
        return author
    around = f"{author[: mail.start()]} {author[mail.end() :]}".removesuffix(">").strip()
    return around.replace("mailto:", "").strip(' ()<>,;:"')


def _categories(fields: _Fields) -> tuple[str, ...]:
    elements = fields.all("category", "dc:subject")[: 2 * MAX_CATEGORIES]
    terms = (element.get("term") or content(element, MAX_CATEGORY * MARKUP_PER_CHARACTER) for element in elements)
    return tuple(dict.fromkeys(term for raw in terms if (term := plain_from_html(raw, MAX_CATEGORY))))[:MAX_CATEGORIES]
