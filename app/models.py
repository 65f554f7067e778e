"""The domain: profiles, articles, editions, tasks and digests, as frozen models."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

MAX_ITEMS = 50
"""How many papers, and how many news items, a digest may hold."""

MAX_CATEGORIES = 20
MAX_INTERESTS = 30
MAX_AUTHORS_FOLLOWED = 50
MAX_EXCLUDED = 30
SAMPLE_CATEGORY = "broadsheet-sample"
"""Marks every item of the bundled sample edition, so that no digest can pass one off as real."""

CategoryName = Annotated[str, StringConstraints(pattern=r"^[a-z-]{2,12}(\.[A-Za-z-]{2,20})?$")]
"""An arXiv category, `cs.AI` or `hep-th`, or a whole archive, `math`."""

ReportProgress = Callable[[str, float], Awaitable[None]]
"""How work shows how far it is: called with a message for people, and 0 to 1."""


def _without_nul(value: object) -> object:
    """PostgreSQL keeps no zero byte: a text of nothing else would be an empty one when it is read again."""
    if not isinstance(value, str):
        return value
    kept = value.replace("\0", "")
    if value and not kept.strip():
        raise ValueError("this holds nothing but blanks and NUL characters")
    return kept


ShortText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    BeforeValidator(_without_nul),
]


class Frozen(BaseModel):
    """Base of the domain's models: immutable.

    They pass over fields that they do not know: rows and payloads may come from a schema, or a process, that is newer.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


class TaskKind(StrEnum):
    """What a task asks for."""

    FETCH = "fetch"
    DIGEST = "digest"
    DELIVERY = "delivery"
    CALLBACK = "callback"


class TaskStatus(StrEnum):
    """Where a task stands; the picture in docs/ARCHITECTURE.md shows the ways between the states."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the task has ended and will not change again."""
        return self in {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}


class Task(Frozen):
    """A row of `tasks`: both the queue's entry and the record that API consumers poll.

    `payload` and `result` are None unless they were asked for. `reader_id` and `local_day` say whose schedule asked for
    it, and for which of the reader's days. `progress` goes from 0 to 1, and never backwards: it is the greatest of all
    attempts. Times are the database's.
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
    """The reader for whom a digest is ranked and written."""

    name: ShortText
    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    goals: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""
    interests: tuple[ShortText, ...] = Field(default=(), max_length=MAX_INTERESTS)
    categories: tuple[CategoryName, ...] = Field(default=(), max_length=MAX_CATEGORIES)
    authors: tuple[ShortText, ...] = Field(default=(), max_length=MAX_AUTHORS_FOLLOWED)
    """Whose new papers are always shown."""
    exclude: tuple[ShortText, ...] = Field(default=(), max_length=MAX_EXCLUDED)
    """Words and phrases whose articles are not shown."""


class RatedPaper(Frozen):
    """A paper of which a reader said what it was worth; `vector` is its words, by `app.ranking.vectors.vector_of`."""

    title: str
    liked: bool
    rated_at: datetime
    vector: str


class ProfileRequest(Profile):
    """A profile as somebody writes it: a field that does not exist is a mistake, and is refused."""

    model_config = ConfigDict(extra="forbid")


class ArticleKind(StrEnum):
    """Papers and news are ranked and shown apart."""

    PAPER = "paper"
    NEWS = "news"


class Article(Frozen):
    """One item of an edition; `source` and `external_id` name it within its day.

    `source` is the adapter's name (`arxiv`, `newsapi`, `feed:<name>`). Links are http(s) or absent. Text is plain.
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
        """Whether this is one of the invented items that stand in where no real source can be reached."""
        return SAMPLE_CATEGORY in self.categories


ItemLinks = Callable[[Article], Sequence[tuple[str, str]]]
"""Gives what can be done with an article by a link: each as a label and an address."""


class Item(Frozen):
    """One paper or piece of news, whatever sources and days it came from: its best copy, and all names it goes by."""

    item_id: UUID
    first_seen: datetime
    keys: tuple[str, ...]
    article: Article


class EditionStatus(StrEnum):
    """How far the fetching of a day has come; `partial`: at least one source failed and one did not."""

    FETCHING = "fetching"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"


class Edition(Frozen):
    """A day's papers and news: how many items each source gave, and what went wrong with those that failed.

    `complete`: every source was read at or after `complete_from`, the moment from which on they have all of the day.
    Until then the day is fetched again when it is requested. `fetched_at` is the end of the last fetch.
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
    """Who wrote an item's summary: a language model, or sentences taken from the abstract."""

    MODEL = "model"
    EXTRACTIVE = "extractive"


class ReasonKind(StrEnum):
    """What spoke for an item."""

    AUTHOR = "author"
    LIKED = "liked"
    INTEREST = "interest"
    WORDS = "words"
    CATEGORY = "category"
    NEWEST = "newest"


class Reason(Frozen):
    """Why an item was chosen: a sentence's part, the words that counted, and what to change where it is wrong."""

    kind: ReasonKind
    text: str
    words: tuple[str, ...] = ()
    change: str


class DigestItem(Frozen):
    """One article of a digest, and why it was chosen.

    `score` goes from 0 to 1 and means the same on every day; `reason` is what `reasons` say, in one line.
    """

    article: Article
    score: float
    reason: str
    reasons: tuple[Reason, ...] = ()
    summary: str
    key_points: tuple[str, ...] = ()
    analysis: AnalysisMethod


class ModelUsage(Frozen):
    """What the language model cost one digest; all zero without one."""

    model: str | None = None
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    failures: int = 0


class Digest(Frozen):
    """The finished work: what a digest task's `result` holds, beside the rendered HTML.

    `source_errors` says of each source that failed why it did; of a scheduled one, for which days, and its
    `edition_status` is `failed` if nothing could be read. A scheduled one is of the reader's local day, and `keys`
    are all names of the items that it holds, by which they are known again once its reader was shown them.
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
