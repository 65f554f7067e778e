"""What each chosen article says: by a language model within a budget, or by the article's own sentences."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from app.digest.budget import Budget
from app.digest.chat_model import (
    Breaker,
    ChatModel,
    Completion,
    Memory,
    ModelFailed,
    ModelRefused,
    ModelRejected,
    ModelUnavailable,
)
from app.digest.extractive import Extract, Extractor
from app.digest.model_answer import INSTRUCTIONS, ModelAnswerInvalid, question, read_answer
from app.digest.ranking import Ranked
from app.errors import CircuitOpen
from app.models import AnalysisMethod, Article, DigestItem, ModelUsage, Profile

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AnalysisSettings:
    """How much one digest may ask of the model: all bounds hold together, and what is beyond them is extracted."""

    max_calls: int = 24
    max_tokens: int = 60_000
    """Input and output together."""
    max_output_tokens: int = 600
    """Of one answer; a longer one is cut, and then counts as invalid."""
    concurrency: int = 4
    call_seconds: float = 30.0
    """For one item, the client's retries included."""
    total_seconds: float = 120.0
    """For all items together."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """The items in the order in which they came, and what the model cost."""

    items: tuple[DigestItem, ...]
    usage: ModelUsage


class Analyst(Protocol):
    """Turns chosen articles into a digest's items."""

    async def analyse(self, items: Sequence[Ranked], profile: Profile) -> Analysed:
        """Analyse every item, whatever fails on the way."""


class ExtractiveAnalyst:
    """Works without any model."""

    async def analyse(self, items: Sequence[Ranked], profile: Profile) -> Analysed:
        """Take each item's summary from its abstract; the loop has its turn between two items."""
        extractor = Extractor(profile)
        done: list[DigestItem] = []
        for item in items:
            done.append(_item(item, extractor.extract(item.article), AnalysisMethod.EXTRACTIVE))
            await asyncio.sleep(0)
        return Analysed(tuple(done), ModelUsage())


class ModelAnalyst:
    """Asks a language model about one article at a time, so that no article can speak about another.

    Whatever goes wrong with an item (a bad answer, a refusal, a timeout, an open circuit, the budget) costs it the
    model's words and nothing else: it gets an extract instead. Good answers are remembered, so that a digest that is
    attempted again does not pay again.
    """

    def __init__(
        self,
        model: ChatModel,
        settings: AnalysisSettings,
        breaker: Breaker,
        memory: Memory,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._settings = settings
        self._breaker = breaker
        self._memory = memory
        self._clock = clock

    async def analyse(self, items: Sequence[Ranked], profile: Profile) -> Analysed:
        """Analyse every item, a few at a time."""
        job = _Job(self._model, self._settings, self._breaker, self._memory, profile, self._clock)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job.item(item)) for item in items]
        return Analysed(tuple(task.result() for task in tasks), job.budget.usage())


class _Job:
    """One digest's analysis: its budget, its deadline, and whether asking is still of use."""

    def __init__(
        self,
        model: ChatModel,
        settings: AnalysisSettings,
        breaker: Breaker,
        memory: Memory,
        profile: Profile,
        clock: Callable[[], float],
    ) -> None:
        self.budget = Budget(settings.max_calls, settings.max_tokens, model.name)
        self._model = model
        self._settings = settings
        self._breaker = breaker
        self._memory = memory
        self._profile = profile
        self._extractor = Extractor(profile)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._clock = clock
        self._deadline = clock() + settings.total_seconds
        self._useless = False

    async def item(self, item: Ranked) -> DigestItem:
        async with self._slots:
            answer = await self._answer(item.article)
        if answer:
            return _item(item, answer, AnalysisMethod.MODEL)
        return _item(item, self._extractor.extract(item.article), AnalysisMethod.EXTRACTIVE)

    async def _answer(self, article: Article) -> Extract | None:
        asked = question(article, self._profile)
        key = _key(self._model.name, asked)
        try:
            if (remembered := await self._memory.get(key)) is not None:
                return read_answer(str(remembered))
            text = await self._bought(asked)
            if text is None:
                return None
            answer = read_answer(text)
            await self._memory.put(key, text)
            return answer
        except (ModelFailed, ModelAnswerInvalid) as error:
            self.budget.failures += 1
            self._useless |= isinstance(error, ModelRejected)
            log.warning("model_failed", article=article.external_id, reason=str(error))
            return None

    async def _bought(self, asked: str) -> str | None:
        """Ask within budget and deadline; None where they, or an open circuit, forbid it. Raises ModelFailed."""
        seconds = min(self._settings.call_seconds, self._deadline - self._clock())
        if self._useless or seconds <= 0:
            return None
        reserved = self.budget.reserve(INSTRUCTIONS + asked, self._settings.max_output_tokens)
        if reserved is None:
            return None
        try:
            completion = await self._ask(asked, seconds)
        except CircuitOpen:
            self.budget.give_back(reserved)
            self._useless = True
            return None
        self.budget.settle(reserved, completion)
        return completion.text

    async def _ask(self, asked: str, seconds: float) -> Completion:
        """Ask within the breaker, which only hears of failures that are its server's fault."""
        declined: ModelFailed | None = None
        try:
            async with self._breaker.guard("model"), asyncio.timeout(seconds):
                try:
                    return await self._model.ask(
                        INSTRUCTIONS, asked, max_output_tokens=self._settings.max_output_tokens
                    )
                except (ModelRejected, ModelRefused) as error:
                    declined = error
        except TimeoutError as error:
            raise ModelUnavailable(f"no answer within {seconds:g} s") from error
        raise declined


def _key(model: str, asked: str) -> str:
    return f"analysis:{hashlib.sha256(json.dumps([model, INSTRUCTIONS, asked]).encode()).hexdigest()}"


def _item(item: Ranked, extract: Extract, method: AnalysisMethod) -> DigestItem:
    return DigestItem(
        article=item.article,
        score=item.fit.score,
        reason=item.fit.reason,
        summary=extract.summary,
        key_points=extract.key_points,
        analysis=method,
    )
