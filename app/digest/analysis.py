"""What each chosen article says: by a language model within a budget, or by the article's own sentences."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from app.digest.budget import Budget
from app.digest.chat_model import (
    Breaker,
    ChatModel,
    Completion,
    AnswerCache,
    ModelFailed,
    ModelRefused,
    ModelRejected,
    ModelUnavailable,
)
from app.digest.extractive import Extract, Extractor
from app.digest.model_answer import (
    ANSWER_SCHEMA,
    INSTRUCTIONS,
    ORDER_INSTRUCTIONS,
    ORDER_SCHEMA,
    ModelAnswerInvalid,
    Schema,
    order_question,
    question,
    read_answer,
    read_order,
)
from app.errors import CircuitOpen
from app.models import AnalysisMethod, Article, DigestItem, ModelUsage, Profile
from app.ranking.ranking import Ranked

log = structlog.get_logger(__name__)

_Response = TypeVar("_Response")


@dataclass(frozen=True, slots=True)
class AnalysisSettings:
    """How much one digest may ask of the model: all bounds hold local_service, and what is beyond them is extracted."""

    max_calls: int = 24
    max_tokens: int = 60_000
    """Input and output local_service."""
    max_output_tokens: int = 600
    """Of one answer; a longer one is cut, and then counts as invalid."""
    concurrency: int = 4
    call_seconds: float = 30.0
    """For one item, the client's retries included."""
    total_seconds: float = 120.0
    """For all items local_service."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """The items in the order in which they came, and what the model cost."""

    items: tuple[DigestItem, ...]
    usage: ModelUsage


class Analysis(Protocol):
    """One digest's analysis."""

    async def reorder(self, articles: Sequence[Article]) -> Sequence[int]:
        """Return the positions of articles that come best first, in a better order if there is one."""

    async def analyse(self, items: Sequence[Ranked]) -> Analysed:
        """Analyse every item, whatever fails on the way."""


class Analyst(Protocol):
    """Turns chosen articles into a digest's items."""

    def begin(self, profile: Profile) -> Analysis:
        """Begin a digest's analysis, with the budget of one."""


class ExtractiveAnalyst:
    """Works without any model."""

    def begin(self, profile: Profile) -> Analysis:
        """Begin a digest's analysis."""
        return _Extraction(Extractor(profile))


@dataclass(frozen=True, slots=True)
class _Extraction:
    extractor: Extractor

    async def reorder(self, articles: Sequence[Article]) -> Sequence[int]:
        return range(len(articles))

    async def analyse(self, items: Sequence[Ranked]) -> Analysed:
        """Take each item's summary from its abstract; the loop has its turn between two items."""
        done: list[DigestItem] = []
        for item in items:
            done.append(_item(item, self.extractor.extract(item.article), AnalysisMethod.EXTRACTIVE))
            await asyncio.sleep(0)
        return Analysed(tuple(done), ModelUsage())


class ModelAnalyst:
    """Asks a language model for the order of the best, and then about one article at a time, so that none can speak
    about another.

    Whatever goes wrong with an item (a bad answer, a refusal, a timeout, an open circuit, the budget) costs it the
    model's words and nothing else: it gets an extract instead; what goes wrong with the order costs the order. Good
    answers are remembered, so that a digest that is attempted again does not pay again.
    """

    def __init__(
        self,
        model: ChatModel,
        settings: AnalysisSettings,
        breaker: Breaker,
        cache: AnswerCache,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._settings = settings
        self._breaker = breaker
        self._cache = cache
        self._clock = clock

    def begin(self, profile: Profile) -> Analysis:
        """Begin a digest's analysis, with the budget of one."""
        return _Job(self._model, self._settings, self._breaker, self._cache, profile, self._clock)


@dataclass(frozen=True, slots=True)
class _Question(Generic[_Response]):
    """What is asked, and how the answer is read."""

    instructions: str
    text: str
    schema: Schema
    read: Callable[[str], _Response]

    def key(self, model: str) -> str:
        """The name under which a good answer is remembered."""
        asked = json.dumps([model, self.instructions, self.text])
        return f"analysis:{hashlib.sha256(asked.encode()).hexdigest()}"


class _Job:
    """One digest's analysis: its budget, its deadline, and whether asking is still of use."""

    def __init__(
        self,
        model: ChatModel,
        settings: AnalysisSettings,
        breaker: Breaker,
        cache: AnswerCache,
        profile: Profile,
        clock: Callable[[], float],
    ) -> None:
        self.budget = Budget(settings.max_calls, settings.max_tokens, model.name)
        self._model = model
        self._settings = settings
        self._breaker = breaker
        self._cache = cache
        self._profile = profile
        self._extractor = Extractor(profile)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._clock = clock
        self._deadline = clock() + settings.total_seconds
        self._stopped = False

    async def reorder(self, articles: Sequence[Article]) -> Sequence[int]:
        asked = order_question(articles, self._profile)
        order = await self._answer(
            _Question(ORDER_INSTRUCTIONS, asked, ORDER_SCHEMA, lambda text: read_order(text, len(articles)))
        )
        return range(len(articles)) if order is None else order

    async def analyse(self, items: Sequence[Ranked]) -> Analysed:
        """Analyse every item, a few at a time."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._item(item)) for item in items]
        return Analysed(tuple(task.result() for task in tasks), self.budget.usage())

    async def _item(self, item: Ranked) -> DigestItem:
        asked = _Question(INSTRUCTIONS, question(item.article, self._profile), ANSWER_SCHEMA, read_answer)
        async with self._slots:
            answer = await self._answer(asked)
        if answer:
            return _item(item, answer, AnalysisMethod.MODEL)
        return _item(item, self._extractor.extract(item.article), AnalysisMethod.EXTRACTIVE)

    async def _answer(self, asked: _Question[_Response]) -> _Response | None:
        key = asked.key(self._model.name)
        try:
            if (remembered := await self._cache.get(key)) is not None:
                return asked.read(str(remembered))
            text = await self._completion_within_budget(asked)
            if text is None:
                return None
            answer = asked.read(text)
            await self._cache.put(key, text)
            return answer
        except (ModelFailed, ModelAnswerInvalid) as error:
            self.budget.failures += 1
            self._stopped |= isinstance(error, ModelRejected)
            log.warning("model_failed", reason=str(error))
            return None

    async def _completion_within_budget(self, asked: _Question[_Response]) -> str | None:
        """Ask within budget and deadline; None where they, or an open circuit, forbid it. Raises ModelFailed."""
        seconds = min(self._settings.call_seconds, self._deadline - self._clock())
        if self._stopped or seconds <= 0:
            return None
        reserved = self.budget.reserve(asked.instructions + asked.text, self._settings.max_output_tokens)
        if reserved is None:
            return None
        try:
            completion = await self._ask(asked, seconds)
        except CircuitOpen:
            self.budget.refund(reserved)
            self._stopped = True
            return None
        self.budget.charge(reserved, completion)
        return completion.text

    async def _ask(self, asked: _Question[_Response], seconds: float) -> Completion:
        """Ask within the breaker, which only hears of failures that are its server's fault."""
        declined: ModelFailed | None = None
        try:
            async with self._breaker.guard("model"), asyncio.timeout(seconds):
                try:
                    return await self._model.complete(
                        asked.instructions,
                        asked.text,
                        schema=asked.schema,
                        max_output_tokens=self._settings.max_output_tokens,
                    )
                except (ModelRejected, ModelRefused) as error:
                    declined = error
        except TimeoutError as error:
            raise ModelUnavailable(f"no answer within {seconds:g} s") from error
        raise declined


def _item(item: Ranked, extract: Extract, method: AnalysisMethod) -> DigestItem:
    return DigestItem(
        article=item.article,
        score=item.score,
        reason="; ".join(reason.text for reason in item.reasons),
        reasons=item.reasons,
        summary=extract.summary,
        key_points=extract.key_points,
        analysis=method,
    )
