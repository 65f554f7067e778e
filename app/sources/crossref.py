"""Looks up papers by DOI at Crossref: https://www.crossref.org/documentation/retrieve-metadata/rest-api/."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError

from app.errors import SourceError
from app.models.articles import Article, ArticleKind, Publication
from app.sources.doi import doi
from app.sources.fetcher import Fetched, FetchFailed, HttpFetcher
from app.sources.rate_limiter import RateLimiter
from app.sources.tex import from_mixed
from app.sources.text import (
    MARKUP_PER_CHARACTER,
    MAX_ABSTRACT,
    MAX_AUTHORS,
    MAX_NAME,
    MAX_TITLE,
    plain,
    plain_from_html,
    safe_link,
)

CROSSREF_URL: Final = "https://api.crossref.org"
MAX_DOIS: Final = 25
"""DOIs per request: their names are in the URL."""

_SELECT: Final = "DOI,title,author,abstract,container-title,volume,issue,page,publisher,issued,type,URL"
_MAX_BYTES: Final = 3_000_000
_MAX_ITEMS: Final = 100
_MAX_HEADER: Final = 20
_LONGEST_PAUSE: Final = 3_600.0
_NUMBER: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s?s?")
_HEADING: Final = re.compile(r"^(?:abstract|summary)\b[\s:.]{0,3}", re.IGNORECASE)
# https://api.crossref.org/types, as entry types of BibTeX.
_TYPES: Final = {
    "journal-article": "article",
    "proceedings-article": "inproceedings",
    "book-chapter": "incollection",
    "book": "book",
    "monograph": "book",
    "edited-book": "book",
    "dissertation": "phdthesis",
    "report": "techreport",
}


@dataclass(frozen=True, slots=True)
class CrossrefSettings:
    """Crossref's URL, and the address that its polite form requires: requests with one are served more reliably."""

    base_url: str = CROSSREF_URL
    mailto: str | None = None


class _Author(BaseModel):
    given: str | None = None
    family: str | None = None
    name: str | None = None


class _Date(BaseModel):
    date_parts: list[list[int | None]] = Field(default=[], alias="date-parts")


class _Work(BaseModel):
    name: str = Field(alias="DOI")
    title: list[str] = []
    author: list[_Author] = []
    abstract: str = ""
    container: list[str] = Field(default=[], alias="container-title")
    volume: str = ""
    issue: str = ""
    page: str = ""
    publisher: str = ""
    issued: _Date = _Date()
    type: str = ""
    url: str | None = Field(default=None, alias="URL")


class _Message(BaseModel):
    items: list[Any] | None = None


class _Response(BaseModel):
    message: dict[str, Any]


class Crossref:
    """Looks up papers, one request at a time and at least a second apart, or more slowly if Crossref says so."""

    name = "crossref"

    def __init__(self, fetcher: HttpFetcher, settings: CrossrefSettings, rate_limiter: RateLimiter) -> None:
        self._fetcher = fetcher
        self._settings = settings
        self._rate_limiter = rate_limiter

    async def look_up(self, dois: Sequence[str]) -> list[tuple[Article, Publication]]:
        """Return the papers of these DOIs (up to `MAX_DOIS`) that Crossref knows.

        Crossref rejects a whole list because of one malformed DOI. Then the halves are requested, down to the single
        DOI. Raises SourceError, and SourceBusy if Crossref requires a wait.
        """
        if len(dois) == 1:
            return await self._look_up_one(dois[0])
        # A comma separates filters, and cannot be escaped.
        alone = [name for name in dois if "," in name]
        listed = [name for name in dois if "," not in name]
        found = [paper for name in alone for paper in await self._look_up_one(name)]
        return found + (await self._look_up_list(listed) if listed else [])

    async def _look_up_list(self, dois: Sequence[str]) -> list[tuple[Article, Publication]]:
        params = {"filter": ",".join(f"doi:{name}" for name in dois), "rows": str(len(dois)), "select": _SELECT}
        try:
            message = _message(await self._get("/works", params))
        except FetchFailed as error:
            if error.http_status != HTTPStatus.BAD_REQUEST:
                raise error.or_busy from error
            half = max(1, len(dois) // 2)
            return [*await self.look_up(dois[:half]), *(await self.look_up(dois[half:]) if dois[half:] else [])]
        return _papers(_Message.model_validate(message).items or [])

    async def _look_up_one(self, name: str) -> list[tuple[Article, Publication]]:
        try:
            return _papers([_message(await self._get(f"/works/{quote(name, safe='')}", {}))])
        except FetchFailed as error:
            if error.http_status in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST}:
                return []
            raise error.or_busy from error

    async def _get(self, path: str, params: Mapping[str, str]) -> Fetched:
        polite = {"mailto": self._settings.mailto} if self._settings.mailto else {}
        async with self._rate_limiter.permit() as permit:
            try:
                answer = await self._fetcher.get(
                    self._settings.base_url + path, params={**params, **polite}, max_bytes=_MAX_BYTES
                )
            except FetchFailed as error:
                permit.pause = max(error.pause, seconds_per_request(error.headers))
                raise
            permit.pause = seconds_per_request(answer.headers)
            return answer


def seconds_per_request(headers: Mapping[str, str]) -> float:
    """Return how far apart requests must be, by `x-rate-limit-limit` and `x-rate-limit-interval` (`50`, `1s`).

    0: the headers do not say it.
    """
    limit, interval = (_number(headers.get(f"x-rate-limit-{name}", "")) for name in ("limit", "interval"))
    return min(interval / limit, _LONGEST_PAUSE) if limit and interval else 0.0


def _number(text: str) -> float:
    found = _NUMBER.fullmatch(text[:_MAX_HEADER].strip())
    return float(found[1]) if found else 0.0


def _message(answer: Fetched) -> dict[str, Any]:
    try:
        return _Response.model_validate_json(answer.body).message
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise SourceError(f"Crossref's response does not have the documented form: {first['msg']}") from None


def _papers(items: Sequence[object]) -> list[tuple[Article, Publication]]:
    papers = []
    for item in items[:_MAX_ITEMS]:
        try:
            work = _Work.model_validate(item)
        except ValidationError:
            continue  # One unusual record must not hide the others; it counts as unknown.
        if (paper := _paper(work)) is not None:
            papers.append(paper)
    return papers


def _paper(work: _Work) -> tuple[Article, Publication] | None:
    name, title = doi(work.name), _text(work.title, MAX_TITLE)
    if name is None or not title:
        return None
    names = (_author(author) for author in work.author[:MAX_AUTHORS])
    article = Article(
        source="crossref",
        external_id=name,
        kind=ArticleKind.PAPER,
        title=title,
        abstract=_abstract(work.abstract),
        authors=tuple(dict.fromkeys(each for each in names if each)),
        url=safe_link(work.url) or f"https://doi.org/{quote(name)}",
        published_at=_published(work.issued),
        doi=name,
    )
    return article, _publication(work)


def _abstract(jats: str) -> str:
    """Return the text of an abstract in JATS (`<jats:p>`), without its headings (`<jats:title>`)."""
    markup = jats[: MARKUP_PER_CHARACTER * MAX_ABSTRACT].replace("<jats:", "<").replace("</jats:", "</")
    return _HEADING.sub("", from_mixed(plain_from_html(markup, MAX_ABSTRACT)))


def _publication(work: _Work) -> Publication:
    return Publication(
        entry_type=_TYPES.get(work.type, ""),
        container=_text(work.container, MAX_TITLE),
        volume=plain(work.volume, MAX_NAME),
        issue=plain(work.issue, MAX_NAME),
        pages=plain(work.page, MAX_NAME),
        publisher=plain(work.publisher, MAX_NAME),
        date="-".join(f"{part:02d}" for part in _parts(work.issued)),
    )


def _text(texts: Sequence[str], limit: int) -> str:
    return from_mixed(plain_from_html(texts[0], limit)) if texts else ""


def _author(author: _Author) -> str:
    return from_mixed(plain(f"{author.given or ''} {author.family or author.name or ''}", MAX_NAME))


def _parts(issued: _Date) -> list[int]:
    """Year, month and day, as far as they are known."""
    parts: list[int] = []
    for part in issued.date_parts[0] if issued.date_parts else []:
        if part is None:
            break
        parts.append(part)
    return parts[:3]


def _published(issued: _Date) -> datetime | None:
    parts = [*_parts(issued), 1, 1]
    try:
        return datetime(parts[0], parts[1], parts[2], tzinfo=UTC) if len(parts) > 2 else None  # noqa: PLR2004  (a year)
    except ValueError:
        return None
