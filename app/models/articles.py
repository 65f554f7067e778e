"""Articles, items and the editions that contain them."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from pydantic import Field

from app.models.values import Frozen

SAMPLE_CATEGORY = "broadsheet-sample"
"""Marks the items of the bundled sample edition, so that digests can label them as samples."""


class ArticleKind(StrEnum):
    """Papers and news are ranked and displayed separately."""

    PAPER = "paper"
    NEWS = "news"


class Article(Frozen):
    """One article of an edition; `source` and `external_id` identify it within its day.

    `source` is the adapter's name (`arxiv`, `newsapi`, `feed:<name>`). Links are http(s) or None. Text is plain text.
    """

    source: str
    external_id: str
    kind: ArticleKind
    title: str
    abstract: str = ""
    authors: tuple[str, ...] = ()
    url: str | None = None
    pdf_url: str | None = None
    categories: tuple[str, ...] = ()
    published_at: datetime | None = None
    arxiv_id: str | None = None
    """Without its version."""
    doi: str | None = None
    """In lower case, without a prefix: 10.1038/s41586-026-01234-5."""
    journal_ref: str = ""
    """Where a paper was published, as its source writes it."""
    comment: str = ""
    """The authors' comment: `12 pages, accepted at ICML 2026`."""
    code_url: str | None = None
    """The code repository that the abstract or the comment names."""

    @property
    def is_sample(self) -> bool:
        """Whether this is an article of the sample edition, used if no real source can be reached."""
        return SAMPLE_CATEGORY in self.categories


class Publication(Frozen):
    """How a paper was published, in the terms of BibTeX, as far as its source states it.

    `entry_type` is BibTeX's (`article`, `book`), `container` the journal or book that contains the paper, `date` an ISO
    8601 date as precise as the source: 2026-11-28, 2026-11 or 2026.
    """

    entry_type: str = ""
    container: str = ""
    volume: str = ""
    issue: str = ""
    pages: str = ""
    publisher: str = ""
    date: str = ""


class Item(Frozen):
    """One paper or news item across sources and days: its most complete copy, and all keys that identify it."""

    item_id: UUID
    first_seen: datetime
    keys: tuple[str, ...]
    article: Article


class EditionStatus(StrEnum):
    """The status of a day's fetch; `partial`: some sources failed."""

    FETCHING = "fetching"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"


class Edition(Frozen):
    """A day's papers and news: the number of items of each source, and the errors of failed sources.

    `complete`: every source was read at or after `complete_from`, the time from which the sources have the whole day.
    Before that, a request fetches the day again. `fetched_at` is the end of the last fetch.
    """

    source_date: date
    status: EditionStatus
    counts: dict[str, int] = Field(default_factory=dict)
    errors: dict[str, str] = Field(default_factory=dict)
    complete: bool = False
    complete_from: datetime | None = None
    fetched_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
