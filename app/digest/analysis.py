"""Summaries of selected articles: by a language model within a budget, or by extraction from the abstract."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import structlog

from app.digest.budget import Budget
from app.digest.chat_model import (
    Breaker,
    ChatModel,
    Completion,
    ModelFailed,
    ModelRefused,
    ModelRejected,
    ModelUnavailable,
    ResponseCache,
)
from app.digest.extractive import Extract, Extractor
from app.digest.model_response import (
    INSTRUCTIONS,
    ORDER_INSTRUCTIONS,
    ORDER_SCHEMA,
    SUMMARY_SCHEMA,
    InvalidModelResponse,
    Schema,
    order_request,
    parse_order,
    parse_summary,
    summary_request,
)
from app.errors import CircuitOpen
from app.models import AnalysisMethod, Article, DigestItem, ModelUsage, Profile
from app.ranking.ranking import Ranked

log = structlog.get_logger(__name__)

MODEL_BREAKER: Final = "model"
"""The name of the circuit breaker of the language model."""

_Response = TypeVar("_Response")


@dataclass(frozen=True, slots=True)
class AnalysisSettings:
    """Limits of the model usage per digest. All apply; items beyond any limit are extracted."""

    max_calls: int = 24
    max_tokens: int = 60_000
    """Sum of input and output tokens."""
    max_output_tokens: int = 600
    """Per response. A longer one is cut and then invalid."""
    concurrency: int = 4
    call_seconds: float = 30.0
    """For one item, including the client's retries."""
    total_seconds: float = 120.0
    """For all items."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """The items in input order, and the model usage."""

    items: tuple[DigestItem, ...]
    usage: ModelUsage


class Analysis(Protocol):
    """The analysis of one digest."""

    async def reorder(self, articles: Sequence[Article]) -> Sequence[int]:
        """Return the positions of `articles`, best first. The default is the given order."""

    async def analyse(self, items: Sequence[Ranked]) -> Analysed:
        """Analyse every item. Failures are replaced by extracts."""


class Analyst(Protocol):
    """Turns selected articles into items of a digest."""

    def begin(self, profile: Profile) -> Analysis:
        """Start the analysis of one digest, with its own budget."""


class ExtractiveAnalyst:
    """Extracts summaries without a model."""

    def begin(self, profile: Profile) -> Analysis:
        """Start the analysis of one digest."""
        return _Extraction(Extractor(profile))


@dataclass(frozen=True, slots=True)
class _Extraction:
    extractor: Extractor

    async def reorder(self, articles: Sequence[Article]) -> Sequence[int]:
        return range(len(articles))

    async def analyse(self, items: Sequence[Ranked]) -> Analysed:
        """Extract each item's summary from its abstract, and yield to the event loop between items."""
        done: list[DigestItem] = []
        for item in items:
            done.append(_item(item, self.extractor.extract(item.article), AnalysisMethod.EXTRACTIVE))
            await asyncio.sleep(0)
        return Analysed(tuple(done), ModelUsage())


class ModelAnalyst:
    """Reorders the best articles with a language model, then summarises each article in a separate request.

    Separate requests prevent one article's text from influencing another's summary. If a request fails (invalid
    response, refusal, timeout, open circuit breaker, budget), the item gets an extract, or the order stays as it was.
    Valid responses are cached, so that a retried digest does not pay again.
    """

    def __init__(
        self,
        model: ChatModel,
        settings: AnalysisSettings,
        breaker: Breaker,
        cache: ResponseCache,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._settings = settings
        self._breaker = breaker
        self._cache = cache
        self._clock = clock

    def begin(self, profile: Profile) -> Analysis:
        """Start the analysis of one digest, with its own budget."""
        return _Job(self._model, self._settings, self._breaker, self._cache, profile, self._clock)


@dataclass(frozen=True, slots=True)
class _Request(Generic[_Response]):
    """A request to the model, and the parser of its response."""

    instructions: str
    text: str
    schema: Schema
    parse: Callable[[str], _Response]

    def key(self, model: str) -> str:
        """Return the cache key of the response."""
        content = json.dumps([model, self.instructions, self.text])
        return f"analysis:{hashlib.sha256(content.encode()).hexdigest()}"


class _Job:
    """The analysis of one digest: its budget, its deadline, and whether the model is still usable."""

    def __init__(
        self,
        model: ChatModel,
        settings: AnalysisSettings,
        breaker: Breaker,
        cache: ResponseCache,
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
        text = order_request(articles, self._profile)
        order = await self._response(
            _Request(ORDER_INSTRUCTIONS, text, ORDER_SCHEMA, lambda content: parse_order(content, len(articles)))
        )
        return range(len(articles)) if order is None else order

    async def analyse(self, items: Sequence[Ranked]) -> Analysed:
        """Analyse every item, a few at a time."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._item(item)) for item in items]
        return Analysed(tuple(task.result() for task in tasks), self.budget.usage())

    async def _item(self, item: Ranked) -> DigestItem:
        request = _Request(INSTRUCTIONS, summary_request(item.article, self._profile), SUMMARY_SCHEMA, parse_summary)
        async with self._slots:
            extract = await self._response(request)
        if extract:
            return _item(item, extract, AnalysisMethod.MODEL)
        return _item(item, self._extractor.extract(item.article), AnalysisMethod.EXTRACTIVE)

    async def _response(self, request: _Request[_Response]) -> _Response | None:
        key = request.key(self._model.name)
        try:
            if (cached := await self._cache.get(key)) is not None:
                return request.parse(str(cached))
            text = await self._completion_within_budget(request)
            if text is None:
                return None
            response = request.parse(text)
            await self._cache.put(key, text)
            return response
        except (ModelFailed, InvalidModelResponse) as error:
            self.budget.failures += 1
            self._stopped |= isinstance(error, ModelRejected)
            log.warning("model request failed", reason=str(error))
            return None

    async def _completion_within_budget(self, request: _Request[_Response]) -> str | None:
        """Send the request; None if budget, deadline or an open circuit breaker prevent it. Raises `ModelFailed`."""
        seconds = min(self._settings.call_seconds, self._deadline - self._clock())
        if self._stopped or seconds <= 0:
            return None
        reserved = self.budget.reserve(request.instructions + request.text, self._settings.max_output_tokens)
        if reserved is None:
            return None
        try:
            completion = await self._send(request, seconds)
        except CircuitOpen:
            self.budget.refund(reserved)
            self._stopped = True
            return None
        self.budget.charge(reserved, completion)
        return completion.text

    async def _send(self, request: _Request[_Response], seconds: float) -> Completion:
        """Send the request through the circuit breaker, which counts only failures of the server."""
        declined: ModelFailed | None = None
        try:
            async with self._breaker.guard(MODEL_BREAKER), asyncio.timeout(seconds):
                try:
                    return await self._model.complete(
                        request.instructions,
                        request.text,
                        schema=request.schema,
                        max_output_tokens=self._settings.max_output_tokens,
                    )
                except (ModelRejected, ModelRefused) as error:
                    declined = error
        except TimeoutError as error:
            raise ModelUnavailable(f"no response within {seconds:g} s") from error
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
