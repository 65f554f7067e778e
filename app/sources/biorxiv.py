"""A day's new preprints of bioRxiv or medRxiv, from their API: https://api.biorxiv.org/details/biorxiv/help."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from app.errors import SourceError
from app.models.articles import Article, ArticleKind
from app.models.biorxiv_categories import normalized
from app.sources.doi import doi
from app.sources.fetcher import FetchFailed, HttpFetcher
from app.sources.paper_links import code_url
from app.sources.rate_limiter import MAX_WAIT, RateLimiter, Sleep
from app.sources.source import end_of
from app.sources.tex import from_mixed
from app.sources.text import (
    MARKUP_PER_CHARACTER,
    MAX_ABSTRACT,
    MAX_AUTHORS,
    MAX_CATEGORY,
    MAX_NAME,
    MAX_TITLE,
    plain,
)

BIORXIV_URL: Final = "https://api.biorxiv.org"
_MAX_BYTES: Final = 2_000_000
"""A page of 100 preprints has some 300 kB, and is parsed in one step."""

_MOST_PAGES: Final = 100
_LARGEST_PAGE: Final = 100
_MAX_ENTRIES: Final = 500
_MAX_AUTHOR_TEXT: Final = MAX_AUTHORS * MAX_NAME


@dataclass(frozen=True, slots=True)
class BiorxivSettings:
    """One server (`biorxiv` or `medrxiv`), and which of its categories; empty: all."""

    server: str = "biorxiv"
    categories: frozenset[str] = frozenset()
    base_url: str = BIORXIV_URL
    attempts: int = 3


class _Message(BaseModel):
    status: str = ""
    total: int | None = None


class _Page(BaseModel):
    messages: list[_Message] = []
    collection: list[Any] = []
    """Validated one by one, as many as a page can have."""


class _Entry(BaseModel):
    doi: str
    title: str
    authors: str = ""
    date: str = ""
    version: int = 1
    type: str = ""
    category: str = ""
    abstract: str = ""

    @property
    def is_withdrawn(self) -> bool:
        return "withdraw" in self.type.lower() or self.title.lstrip().lower().startswith("withdrawn")


class BiorxivSource:
    """The preprints whose first version a server posted on a day; later versions and withdrawals are not new.

    The API gives the day on which each version was posted. Pages have 30 or 100 entries, and the `total` may be some
    entries too high (https://github.com/ropensci/medrxivr/issues/19): only an empty page ends a list early.
    """

    def __init__(
        self,
        fetcher: HttpFetcher,
        settings: BiorxivSettings,
        rate_limiter: RateLimiter,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._fetcher = fetcher
        self._settings = settings
        self._rate_limiter = rate_limiter
        self._sleep = sleep

    @property
    def name(self) -> str:
        """The `source` of these preprints."""
        return self._settings.server

    @property
    def essential(self) -> bool:
        """Editions wait for it, as for arXiv."""
        return True

    def complete_from(self, source_date: date) -> datetime:
        """Noon UTC of the next day: the day ends later in New York than in UTC, and pages are cached for hours."""
        return end_of(source_date) + timedelta(hours=12)

    async def fetch(self, source_date: date) -> list[Article]:
        """Return the day's new preprints, each once. Raises SourceError, and SourceBusy if the API requires a wait."""
        versions: dict[str, list[_Entry]] = {}
        async for entries in self._pages(source_date):
            for entry in entries:
                if (name := doi(entry.doi)) is not None:
                    versions.setdefault(name, []).append(entry)
            await asyncio.sleep(0)
        papers = [self._article(name, found) for name, found in versions.items() if self._is_new(found)]
        return [paper for paper in papers if paper is not None]

    async def _pages(self, source_date: date) -> AsyncIterator[list[_Entry]]:
        start = 0
        for _ in range(_MOST_PAGES):
            entries, total = await self._page(source_date, start)
            yield entries
            start += len(entries)
            if not entries or start >= total:
                return
        raise SourceError(f"{self.name} has more than {_MOST_PAGES} pages for {source_date}")

    async def _page(self, source_date: date, start: int) -> tuple[list[_Entry], int]:
        for attempt in range(self._settings.attempts - 1):
            try:
                return await self._attempt(source_date, start)
            except FetchFailed as error:
                if not error.transient or error.pause > MAX_WAIT:
                    raise error.or_busy from error
                await self._sleep(0 if error.busy else 3.0 * 2**attempt)
        try:
            return await self._attempt(source_date, start)
        except FetchFailed as error:
            raise error.or_busy from error

    async def _attempt(self, source_date: date, start: int) -> tuple[list[_Entry], int]:
        url = f"{self._settings.base_url}/details/{self.name}/{source_date}/{source_date}/{start}/json"
        async with self._rate_limiter.permit(self.name) as permit:
            try:
                answer = await self._fetcher.get(url, max_bytes=_MAX_BYTES)
            except FetchFailed as error:
                permit.pause = error.pause
                raise
        page = _parse(answer.body, self.name)
        total = (page.messages[0].total if page.messages else None) or 0
        entries = [_entry(raw, self.name) for raw in page.collection[:_MAX_ENTRIES]]
        if not entries and start + _LARGEST_PAGE < total:
            message = f"{self.name} reported {total} preprints, but its page from {start} on is empty"
            raise FetchFailed(message, transient=True)
        return entries, total

    def _is_new(self, versions: Sequence[_Entry]) -> bool:
        wanted = self._settings.categories
        return (
            any(entry.version == 1 for entry in versions)
            and not any(entry.is_withdrawn for entry in versions)
            and (not wanted or any(normalized(entry.category[:MAX_NAME]) in wanted for entry in versions))
        )

    def _article(self, name: str, versions: Sequence[_Entry]) -> Article | None:
        newest = max(versions, key=lambda entry: entry.version)
        title = _text(newest.title, MAX_TITLE)
        page = f"https://www.{self.name}.org/content/{name}v{newest.version}"
        category = plain(normalized(newest.category[:MAX_NAME]), MAX_CATEGORY)
        return (
            Article(
                source=self.name,
                external_id=name,
                kind=ArticleKind.PAPER,
                title=title,
                abstract=_text(newest.abstract, MAX_ABSTRACT),
                authors=_authors(newest.authors),
                url=page,
                pdf_url=f"{page}.full.pdf",
                categories=(category,) if category else (),
                published_at=_posted(newest.date),
                doi=name,
                code_url=code_url(newest.abstract),
            )
            if title
            else None
        )


def _parse(body: bytes, name: str) -> _Page:
    try:
        return _Page.model_validate_json(body)
    except ValidationError as error:
        raise _malformed(error, name) from None


def _entry(raw: object, name: str) -> _Entry:
    try:
        return _Entry.model_validate(raw)
    except ValidationError as error:
        raise _malformed(error, name) from None


def _malformed(error: ValidationError, name: str) -> SourceError:
    first = error.errors(include_input=False, include_url=False)[0]
    return SourceError(f"{name}'s response does not have the documented form: {first['loc']}: {first['msg']}")


def _text(text: str, limit: int) -> str:
    return from_mixed(plain(text[: limit * MARKUP_PER_CHARACTER], limit))


def _authors(line: str) -> tuple[str, ...]:
    """Return the names in `Second, B.; First, A. C.`, the given names first."""
    names = []
    for each in line[:_MAX_AUTHOR_TEXT].split(";")[:MAX_AUTHORS]:
        family, _, given = each.partition(",")
        names.append(_text(f"{given} {family}", MAX_NAME))
    return tuple(dict.fromkeys(name for name in names if name))


def _posted(day: str) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(day[:10]), time(0), UTC)
    except ValueError:
        return None
