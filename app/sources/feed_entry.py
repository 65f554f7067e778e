"""One item of a feed, RSS 0.9 to 2.0 or Atom, as plain text; and what arXiv adds to its own."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final
from urllib.parse import urljoin

from lxml.etree import QName
from lxml.etree import _Element as Element

from app.sources.arxiv_id import PDF_PAGE, arxiv_id
from app.sources.doi import doi
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
    parse_time,
    plain,
    plain_from_html,
    safe_link,
)

_PREFIXES: Final = {
    None: "",
    "http://www.w3.org/2005/Atom": "",
    "http://purl.org/rss/1.0/": "",
    "http://my.netscape.com/rdf/simple/0.9/": "",
    "http://purl.org/dc/elements/1.1/": "dc:",
    "http://purl.org/rss/1.0/modules/content/": "content:",
    "http://arxiv.org/schemas/atom": "arxiv:",
    "http://purl.org/rss/1.0/modules/prism/": "prism:",
    "http://prismstandard.org/namespaces/1.2/basic/": "prism:",
    "http://prismstandard.org/namespaces/basic/2.0/": "prism:",
    "http://prismstandard.org/namespaces/basic/2.1/": "prism:",
    "http://prismstandard.org/namespaces/basic/3.0/": "prism:",
}
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
    """An item's children by name; those of unknown vocabularies (media, iTunes) are not looked at."""

    def __init__(self, item: Element) -> None:
        self._found: dict[str, list[Element]] = {}
        for child in islice(item.iterchildren("*"), _MAX_CHILDREN):
            name = QName(child)
            prefix = _PREFIXES.get(name.namespace)
            if prefix is not None:
                self._found.setdefault(prefix + name.localname, []).append(child)

    def all(self, *names: str) -> list[Element]:
        return [element for name in names for element in self._found.get(name, [])]

    def raw(self, limit: int, *names: str) -> str:
        """The text of the first of these that has any, as it stands, cut to `limit` characters."""
        return next((text for element in self.all(*names) if (text := content(element, limit).strip())), "")

    def text(self, limit: int, *names: str) -> str:
        """The same as plain text: what is declared to be plain is, anything else counts as HTML."""
        texts = (_as_plain(element, limit) for element in self.all(*names))
        return next((text for text in texts if text), "")


def read_item(item: Element, base: str) -> FeedItem | None:
    """Read an RSS item or an Atom entry; None if it has no title. Relative links are taken from `base`."""
    fields = _Fields(item)
    title = fields.text(MAX_TITLE, "title")
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
        published_at=parse_time(fields.raw(MAX_NAME, "published", "pubDate", "dc:date", "updated")),
        is_paper=paper is not None,
        is_replacement=kind_of_news.startswith("replace"),
        arxiv_id=paper or arxiv_id(link or ""),
        doi=_doi(fields, link),
    )


def _doi(fields: _Fields, link: str | None) -> str | None:
    names = ("prism:doi", "arxiv:doi", "dc:identifier", "guid", "id")
    texts = (content(element, MAX_LINK) for name in names for element in fields.all(name)[:_MAX_NAMES])
    return next((found for text in (*texts, link) if (found := doi(text))), None)


def _as_plain(element: Element, limit: int) -> str:
    text = content(element, limit * MARKUP_PER_CHARACTER)
    return plain(text, limit) if element.get("type") in {"text", "xhtml"} else plain_from_html(text, limit)


def _abstract(fields: _Fields, *, is_paper: bool) -> str:
    if is_paper:
        # arXiv's abstracts are plain: read as HTML, "p<q" would lose its end.
        text = fields.raw(MAX_ABSTRACT * MARKUP_PER_CHARACTER, "summary", "description")
        return plain(_ARXIV_NOTICE.sub("", text), MAX_ABSTRACT)
    return fields.text(MAX_ABSTRACT, "summary", "description", "content", "content:encoded")


def _link(fields: _Fields, base: str) -> str | None:
    """The page that the item is about: Atom's alternate link, RSS's link, or a guid that says it is one."""
    for element in fields.all("link"):
        if element.get("rel", "alternate") == "alternate" and (
            href := element.get("href") or content(element, _LONG_LINK)
        ):
            return _absolute(href, base)
    for guid in fields.all("guid"):
        if guid.get("isPermaLink", "true") == "true":
            return safe_link(content(guid, _LONG_LINK))
    return None


def _absolute(href: str, base: str) -> str | None:
    if len(href) >= _LONG_LINK:
        return None
    try:
        return safe_link(urljoin(base, href.strip()))
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
        child = element.find("{http://www.w3.org/2005/Atom}name")
        text = content(element if child is None else child, MAX_AUTHORS * MAX_NAME)
        # arXiv's feeds have all authors of a paper in one element.
        names += text.split(",", MAX_AUTHORS) if is_paper else [_without_mail(text)]
    cleaned = (plain_from_html(name, MAX_NAME) for name in names[:MAX_AUTHORS])
    return tuple(dict.fromkeys(name for name in cleaned if name))


def _without_mail(author: str) -> str:
    """The name in `mail@host (Name)`, which is how RSS has its authors; nothing where there is the address alone."""
    mail, _, rest = author.strip().partition("(")
    if "@" not in mail or len(mail.split(maxsplit=1)) != 1:
        return author
    return rest.removesuffix(")")


def _categories(fields: _Fields) -> tuple[str, ...]:
    elements = fields.all("category", "dc:subject")[: 2 * MAX_CATEGORIES]
    terms = (element.get("term") or content(element, MAX_CATEGORY * MARKUP_PER_CHARACTER) for element in elements)
    return tuple(dict.fromkeys(term for raw in terms if (term := plain_from_html(raw, MAX_CATEGORY))))[:MAX_CATEGORIES]
