"""One page of arXiv's answers: Atom with OpenSearch counts (https://info.arxiv.org/help/api/user-manual.html)."""

from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from lxml.etree import _Element as Element

from app.errors import SourceError
from app.models.articles import Article, ArticleKind
from app.sources.arxiv_id import ABSTRACT_PAGE, PDF_PAGE, arxiv_id
from app.sources.dates import parse_time
from app.sources.doi import doi
from app.sources.fetcher import Fetched
from app.sources.paper_links import code_url
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
    plain,
    safe_link,
)
from app.sources.xml import read_feed

_ATOM: Final = "{http://www.w3.org/2005/Atom}"
_ARXIV: Final = "{http://arxiv.org/schemas/atom}"
ERROR_PAGE: Final = "/api/errors"
"""In the id of an entry that is none, but says what is wrong with the query."""
_MAX_DIGITS: Final = 9
_MAX_LINKS: Final = 20
_TOTAL: Final = "{http://a9.com/-/spec/opensearch/1.1/}totalResults"


class QueryRefused(SourceError):
    """arXiv finds fault with the query itself, and says so in Atom's clothing."""


@dataclass(frozen=True, slots=True)
class ArxivPage:
    """`entries` counts what the page held, usable or not, so that the next one starts behind it."""

    articles: tuple[Article, ...]
    entries: int
    total: int


@dataclass(slots=True)
class _Reader:
    entries: int = 0
    total: int | None = None
    articles: list[Article] = field(default_factory=list)

    def convert(self, element: Element) -> Element | None:
        """Note a count or keep a paper; returns the element if it was an entry, for those are limited."""
        if element.tag == _TOTAL:
            self.total = _count(element.text)
            return None
        self.entries += 1
        article = _article(element)
        if article:
            self.articles.append(article)
        return element


async def read_page(answer: Fetched, *, limit: int) -> ArxivPage:
    """Read one page. Raises SourceError where it is broken, QueryRefused where arXiv found fault with the query."""
    reader = _Reader()
    await read_feed(answer, (f"{_ATOM}entry", _TOTAL), reader.convert, limit=limit, lenient=False)
    if reader.total is None:
        raise SourceError("arXiv's answer has no totalResults: it is not an answer to a query")
    return ArxivPage(tuple(reader.articles), reader.entries, reader.total)


def _article(entry: Element) -> Article | None:
    name = _text(entry, "id", MAX_LINK)
    if ERROR_PAGE in name:
        raise QueryRefused(f"arXiv refused the query: {_plain(entry, 'summary', 200)}")
    identifier, title = arxiv_id(name), _plain(entry, "title", MAX_TITLE)
    if not identifier or not title:
        return None
    page, pdf = _links(entry, identifier)
    abstract, comment = _plain(entry, "summary", MAX_ABSTRACT), _plain(entry, "comment", MAX_TITLE, _ARXIV)
    return Article(
        source="arxiv",
        external_id=identifier,
        kind=ArticleKind.PAPER,
        title=title,
        abstract=abstract,
        authors=_authors(entry),
        url=page,
        pdf_url=pdf,
        categories=_categories(entry),
        published_at=parse_time(_text(entry, "published", MAX_NAME)),
        arxiv_id=identifier,
        doi=_doi(entry),
        journal_ref=_plain(entry, "journal_ref", MAX_TITLE, _ARXIV),
        comment=comment,
        code_url=code_url(comment, abstract),
    )


def _text(entry: Element, tag: str, limit: int, namespace: str = _ATOM) -> str:
    found = entry.find(f"{namespace}{tag}")
    return "" if found is None else content(found, limit)


def _plain(entry: Element, tag: str, limit: int, namespace: str = _ATOM) -> str:
    return from_mixed(plain(_text(entry, tag, limit * MARKUP_PER_CHARACTER, namespace), limit))


def _doi(entry: Element) -> str | None:
    found = entry.find(f"{_ARXIV}doi")
    return None if found is None else doi(content(found, MAX_LINK))


def _authors(entry: Element) -> tuple[str, ...]:
    authors = islice(entry.iterfind(f"{_ATOM}author"), MAX_AUTHORS)
    return tuple(name for author in authors if (name := _plain(author, "name", MAX_NAME)))


def _categories(entry: Element) -> tuple[str, ...]:
    """The primary category first, each once."""
    primary, others = entry.iterfind(f"{_ARXIV}primary_category"), entry.iterfind(f"{_ATOM}category")
    terms = [element.get("term") for element in (*islice(primary, 1), *islice(others, 2 * MAX_CATEGORIES))]
    return tuple(dict.fromkeys(plain(term, MAX_CATEGORY) for term in terms if term))[:MAX_CATEGORIES]


def _links(entry: Element, identifier: str) -> tuple[str, str]:
    """The abstract's page and the PDF: as the entry links them, else where arXiv has every paper."""
    page, pdf = ABSTRACT_PAGE + identifier, PDF_PAGE + identifier
    for link in islice(entry.iterfind(f"{_ATOM}link"), _MAX_LINKS):
        href = safe_link(link.get("href"))
        if not href:
            continue
        if link.get("title") == "pdf" or (link.get("rel") is None and "/pdf/" in href):
            pdf = href
        elif link.get("rel") in {None, "alternate"}:
            page = href
    return page, pdf


def _count(text: str | None) -> int | None:
    text = (text or "")[:MAX_NAME].strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None
