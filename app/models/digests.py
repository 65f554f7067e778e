"""Digests, and how their summaries were made."""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import Protocol, Self

from pydantic import Field

from app.models.articles import Article, EditionStatus
from app.models.profiles import Profile
from app.models.values import Frozen, Language


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

    @property
    def best(self) -> tuple[DigestItem, ...]:
        """All items by score, the best first; of equal scores, papers first."""
        return tuple(sorted((*self.papers, *self.news), key=lambda item: -item.score))

    def only_best(self, count: int) -> Self:
        """Return this digest with only its `count` best items, in their order."""
        kept = {id(item) for item in self.best[:count]}
        papers, news = (tuple(item for item in items if id(item) in kept) for items in (self.papers, self.news))
        return self.model_copy(update={"papers": papers, "news": news})

    @property
    def has_samples(self) -> bool:
        """Whether an item is one of the sample edition."""
        return any(item.article.is_sample for item in (*self.papers, *self.news))


class PageLinks(Protocol):
    """The links of one reader on a digest's page. A link is None if the service has no public address."""

    @property
    def home(self) -> str | None:
        """The reader's page, where feedback can be given and undone."""

    @property
    def preferences(self) -> str | None:
        """The form with interests, categories and authors."""

    def of_item(self, article: Article) -> Sequence[tuple[str, str]]:
        """The actions on an item, each as a label and a URL."""
