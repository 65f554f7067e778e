"""The domain: profiles, articles, editions, tasks and digests, as frozen models."""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

MAX_ITEMS = 50
"""Maximum number of papers, and of news items, in a digest."""

MAX_CATEGORIES = 20
MAX_INTERESTS = 30
MAX_AUTHORS_FOLLOWED = 50
MAX_EXCLUDED = 30
SAMPLE_CATEGORY = "broadsheet-sample"
"""Marks the items of the bundled sample edition, so that digests can label them as samples."""

CategoryName = Annotated[str, StringConstraints(pattern=r"^[a-z-]{2,12}(\.[A-Za-z-]{2,20})?$")]
"""An arXiv category such as `cs.AI` or `hep-th`, or an archive such as `math`."""

ReportProgress = Callable[[str, float], Awaitable[None]]
"""Reports progress: called with a message for people and a number from 0 to 1."""


def _without_nul(value: object) -> object:
    """Remove NUL characters, which PostgreSQL cannot store; refuse a text that has only these and blanks."""
    if not isinstance(value, str):
        return value
    kept = value.replace("\0", "")
    if value and not kept.strip():
        raise ValueError("it contains only blanks and NUL characters")
    return kept


ShortText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    BeforeValidator(_without_nul),
]

LANGUAGE_PATTERN = r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$"
"""A language tag of BCP 47 with a language, a script and a region at most: the tag is part of prompts."""


_SCRIPT, _MAX_TAG = 4, 11


def _language(value: object) -> object:
    """Write a tag in the usual case (RFC 5646, 2.1.1). Refuses all that is no such tag."""
    if not isinstance(value, str):
        return value
    first, *others = value[: _MAX_TAG + 1].split("-")
    tag = "-".join([first.lower(), *(each.title() if len(each) == _SCRIPT else each.upper() for each in others)])
    if not value.isascii() or not re.fullmatch(LANGUAGE_PATTERN[1:-1], tag):
        raise ValueError("it is not a language tag of BCP 47, such as en, de, pt-BR or zh-Hant")
    return tag


Language = Annotated[str, StringConstraints(pattern=LANGUAGE_PATTERN), BeforeValidator(_language)]
"""The language in which a model writes summaries."""


class Frozen(BaseModel):
    """Base of the domain's models: immutable.

    They ignore unknown fields, because rows and payloads may come from a newer schema or process.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


class TaskKind(StrEnum):
    """The kind of work."""

    FETCH = "fetch"
    DIGEST = "digest"
    DELIVERY = "delivery"
    CALLBACK = "callback"


class TaskStatus(StrEnum):
    """A task's status; docs/ARCHITECTURE.md has the state diagram."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the task has ended; only a replay changes it again."""
        return self in {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}


class Task(Frozen):
    """A task: the queue's entry and the record that callers poll.

    `payload` and `result` are None unless the query requested them. `reader_id` and `local_day` are set if a reader's
    schedule created the task. `progress` is a number from 0 to 1, the maximum of all attempts. Times are the
    database's.
    """

    task_id: UUID
    owner: str = "default"
    kind: TaskKind
    status: TaskStatus
    priority: int = 1
    run_at: datetime
    payload: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    error: str | None = None
    message: str | None = None
    progress: float = 0.0
    source_date: date | None = None
    parent: UUID | None = None
    reader_id: UUID | None = None
    local_day: date | None = None
    callback_url: str | None = None
    attempt: int = 0
    max_attempts: int
    cancel_requested: bool = False
    created_at: datetime
    started_at: datetime | None = None
    updated_at: datetime
    finished_at: datetime | None = None


class Profile(Frozen):
    """The profile for which a digest is ranked and written."""

    name: ShortText
    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    goals: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""
    interests: tuple[ShortText, ...] = Field(default=(), max_length=MAX_INTERESTS)
    categories: tuple[CategoryName, ...] = Field(default=(), max_length=MAX_CATEGORIES)
    authors: tuple[ShortText, ...] = Field(default=(), max_length=MAX_AUTHORS_FOLLOWED)
    """New papers of these authors are always included."""
    exclude: tuple[ShortText, ...] = Field(default=(), max_length=MAX_EXCLUDED)
    """Articles with these words or phrases are not included."""
    language: Language = "en"
    """A model writes the summaries in this language. Excerpts keep the language of their abstract."""


class RatedPaper(Frozen):
    """A paper that a reader rated; `vector` is its text's vector, by `app.ranking.vectors.vector_of`."""

    title: str
    liked: bool
    rated_at: datetime
    vector: str


class ProfileRequest(Profile):
    """A profile in a request: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


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


ItemLinks = Callable[[Article], Sequence[tuple[str, str]]]
"""Returns the action links of an article, each as a label and a URL."""


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


class AnalysisMethod(StrEnum):
    """How a summary was made: by a language model, or from sentences of the abstract."""

    MODEL = "model"
    EXTRACTIVE = "extractive"


class FallbackReason(StrEnum):
    """Why an item has an excerpt from its abstract although a language model is configured."""

    BUSY = "busy"
    """The server was overloaded, or limited the number of requests."""
    UNAVAILABLE = "unavailable"
    """The server could not be reached, failed, or did not follow the protocol."""
    TIMEOUT = "timeout"
    """The response did not arrive in time."""
    CIRCUIT_OPEN = "circuit_open"
    """The model failed several times; the circuit breaker blocks it for a while."""
    REJECTED = "rejected"
    """The server rejects all such requests, for example because of the key, the model's name or a spending limit."""
    REFUSED = "refused"
    """The model, or the server's content filter, refused this request."""
    CUT_OFF = "cut_off"
    """The output limit ended the response before it was complete."""
    INVALID = "invalid"
    """The response has no valid summary."""
    BUDGET = "budget"
    """The digest's limit of calls or tokens was reached."""


class ReasonKind(StrEnum):
    """The kind of reason for including an item."""

    AUTHOR = "author"
    LIKED = "liked"
    INTEREST = "interest"
    WORDS = "words"
    CATEGORY = "category"
    NEWEST = "newest"
    VARIETY = "variety"


class Reason(Frozen):
    """Why an item was included: the text, the matching words, and what the reader can change."""

    kind: ReasonKind
    text: str
    words: tuple[str, ...] = ()
    change: str


class DigestItem(Frozen):
    """One article of a digest, and why it was included.

    `score` is a number from 0 to 1, comparable between days; `reason` is the text of `reasons` in one line.
    `fallback` says why the model that is configured did not write the summary. `language` is that of a summary and key
    points by a model, None for excerpts.
    """

    article: Article
    score: float
    reason: str
    reasons: tuple[Reason, ...] = ()
    summary: str
    key_points: tuple[str, ...] = ()
    analysis: AnalysisMethod
    fallback: FallbackReason | None = None
    language: Language | None = None


class ModelUsage(Frozen):
    """The language model's usage for one digest; all zero without a model.

    A call that several digests share is counted in the one that started it. `estimated_calls` are those whose tokens
    the server did not report: their tokens are estimated from the length of the texts. `fallbacks` counts the items
    that have an excerpt instead of the model's summary, by reason.
    """

    model: str | None = None
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    failures: int = 0
    estimated_calls: int = 0
    fallbacks: dict[FallbackReason, int] = Field(default_factory=dict)


class Digest(Frozen):
    """A finished digest: the content of a digest task's `result`, besides the rendered HTML.

    `source_errors` has the error of each failed source. For a scheduled digest it includes the days, `edition_status`
    is `failed` if no source could be read, and `source_date` is the reader's local day. `keys` are all keys of the
    digest's items, by which items that the reader has seen are recognized.
    """

    source_date: date
    profile: Profile
    introduction: str
    papers: tuple[DigestItem, ...]
    news: tuple[DigestItem, ...]
    considered: int
    edition_status: EditionStatus
    source_errors: dict[str, str] = Field(default_factory=dict)
    usage: ModelUsage = ModelUsage()
    keys: tuple[str, ...] = ()
