"""One page of arXiv's OAI-PMH lists, in the format arXivRaw: https://oaipmh.arxiv.org/OAI/arXivRaw.xsd."""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
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
)
from app.sources.xml import read_feed

_OAI: Final = "{http://www.openarchives.org/OAI/2.0/}"
_RAW: Final = "{http://arxiv.org/OAI/arXivRaw/}"
_RECORD, _TOKEN, _ERROR = f"{_OAI}record", f"{_OAI}resumptionToken", f"{_OAI}error"
_MOST_RECORDS: Final = 19_000
_MAX_TOKEN: Final = 2_000
_MAX_VERSIONS: Final = 500
_MAX_REASON: Final = 200
_INNERMOST: Final = re.compile(r"\([^()]{0,2000}\)")
_DEEPEST: Final = 5
_BETWEEN: Final = re.compile(r",\s{0,5}and\s{1,5}|\s{1,5}and\s{1,5}|,\s{0,5}")


class BadToken(SourceError):
    """arXiv does not know this resumption token, or no longer."""


@dataclass(frozen=True, slots=True)
class OaiPage:
    """The papers of the day on this page, and the token of the next page; empty on the last one."""

    articles: tuple[Article, ...]
    token: str


@dataclass(slots=True)
class _Reader:
    source_date: date
    token: str = ""
    error: tuple[str, str] | None = None
    articles: list[Article] = field(default_factory=list)

    def convert(self, element: Element) -> None:
        """Read one element; the articles are collected here."""
        if element.tag == _TOKEN:
            self.token = content(element, _MAX_TOKEN).strip()
        elif element.tag == _ERROR:
            self.error = element.get("code", "")[:_MAX_REASON], plain(content(element, _MAX_REASON), _MAX_REASON)
        elif (raw := element.find(f"{_OAI}metadata/{_RAW}arXivRaw")) is not None:
            submitted = _submitted(raw)
            if submitted is not None and submitted.date() == self.source_date:
                article = _article(raw, submitted)
                self.articles += [article] if article else []


async def read_oai_page(answer: Fetched, source_date: date) -> OaiPage:
    """Read one page, and keep the papers whose first version was submitted on that day (UTC).

    Raises SourceError for a broken page or an error of the protocol, BadToken for an unknown token.
    """
    reader = _Reader(source_date)
    tags = (_RECORD, _TOKEN, _ERROR)
    await read_feed(answer, tags, reader.convert, limit=_MOST_RECORDS, lenient=False, roots=frozenset({"OAI-PMH"}))
    if reader.error is not None:
        code, reason = reader.error
        if code == "badResumptionToken":
            raise BadToken(f"arXiv refused the resumption token of an OAI-PMH list: {reason}")
        if code != "noRecordsMatch":
            raise SourceError(f"arXiv refused the OAI-PMH request: {code}: {reason}")
    return OaiPage(tuple(reader.articles), reader.token)


def _submitted(raw: Element) -> datetime | None:
    """The time of the first version; the versions are in no certain order."""
    for version in islice(raw.iterfind(f"{_RAW}version"), _MAX_VERSIONS):
        if version.get("version") == "v1":
            found = version.find(f"{_RAW}date")
            submitted = None if found is None else parse_time(content(found, MAX_NAME))
            return None if submitted is None else submitted.astimezone(UTC)
    return None


def _article(raw: Element, submitted: datetime) -> Article | None:
    identifier, title = arxiv_id(_text(raw, "id", MAX_LINK)), _plain(raw, "title", MAX_TITLE)
    if not identifier or not title:
        return None
    abstract, comment = _plain(raw, "abstract", MAX_ABSTRACT), _plain(raw, "comments", MAX_TITLE)
    return Article(
        source="arxiv",
        external_id=identifier,
        kind=ArticleKind.PAPER,
        title=title,
        abstract=abstract,
        authors=author_names(_text(raw, "authors", MAX_AUTHORS * MAX_NAME)),
        url=ABSTRACT_PAGE + identifier,
        pdf_url=PDF_PAGE + identifier,
        categories=_categories(_text(raw, "categories", MAX_CATEGORIES * MAX_CATEGORY)),
        published_at=submitted,
        arxiv_id=identifier,
        doi=doi(_text(raw, "doi", MAX_LINK)),
        journal_ref=_plain(raw, "journal-ref", MAX_TITLE),
        comment=comment,
        code_url=code_url(comment, abstract),
    )


def _text(raw: Element, name: str, limit: int) -> str:
    found = raw.find(f"{_RAW}{name}")
    return "" if found is None else content(found, limit)


def _plain(raw: Element, name: str, limit: int) -> str:
    return from_mixed(plain(_text(raw, name, limit * MARKUP_PER_CHARACTER), limit))


def _categories(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(plain(name, MAX_CATEGORY) for name in text.split()))[:MAX_CATEGORIES]


def author_names(text: str) -> tuple[str, ...]:
    r"""Return the names in an author line such as `A. First (1 and 2), B. Second and C. Third ((1) Here, (2) There)`.

    Affiliations are in parentheses: https://info.arxiv.org/help/prep.html#author. Names may contain TeX.
    """
    for _ in range(_DEEPEST):
        text, found = _INNERMOST.subn(" ", text)
        if not found:
            break
    names = (from_mixed(plain(name, MAX_NAME)) for name in _BETWEEN.split(plain(text, MAX_AUTHORS * MAX_NAME)))
    return tuple(dict.fromkeys(name for name in names if name))[:MAX_AUTHORS]
