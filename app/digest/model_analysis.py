"""Summaries by a language model, within a budget."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog

from app.digest.analysis import Analysed, Analysis, analysed_item
from app.digest.budget import Budget, Reservation
from app.digest.chat_model import (
    NO_TOKENS,
    Breaker,
    ChatModel,
    Completion,
    ModelBlocked,
    ModelDeclined,
    ModelFailed,
    ModelRejected,
    ResponseCache,
)
from app.digest.extractive import Extract, Extractor
from app.digest.model_requests import Request, Response, cache_key, order_of, summaries_of, summary_of
from app.digest.single_flight import SingleFlight
from app.errors import CircuitOpen
from app.models.articles import Article
from app.models.digests import AnalysisMethod, DigestItem, FallbackReason
from app.models.profiles import Profile
from app.ranking.ranking import Ranked

log = structlog.get_logger(__name__)

MODEL_BREAKER: Final = "model"
"""The name of the circuit breaker of the language model."""

ITEMS_PER_CALL: Final = 6
"""Articles in one request to a model that thinks, whose calls are slow and expensive."""


@dataclass(frozen=True, slots=True)
class AnalysisSettings:
    """Limits of the model usage per digest. All apply; items beyond any limit are extracted."""

    max_calls: int = 24
    max_tokens: int = 60_000
    """Sum of input and output tokens."""
    max_output_tokens: int = 8_000
    """Per response, reasoning included. A longer one is cut off."""
    concurrency: int = 4
    call_seconds: float = 120.0
    """For one request, including the client's retries."""
    total_seconds: float = 240.0
    """For all requests. The time limit of a digest task is five minutes."""


@dataclass(frozen=True, slots=True)
class ModelAnalyst:
    """Reorders the best articles with a language model, then summarises each article in a separate request.

    Separate requests prevent one article's text from influencing another's summary. Each call of a model that thinks
    is slow and expensive, so it gets several articles in one request. If a request fails (invalid response, refusal,
    timeout, open circuit breaker, budget), its items get extracts and the reason, or the order stays as it was. Valid
    responses are cached, so that a retried digest does not pay again, and digests that need the same response at the
    same time share one call.
    """

    model: ChatModel
    settings: AnalysisSettings
    breaker: Breaker
    cache: ResponseCache
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    flights: SingleFlight[Any] = field(default_factory=SingleFlight, init=False)

    def begin(self, profile: Profile) -> Analysis:
        """Start the analysis of one digest, with its own budget."""
        return _Job(self, profile)


class _BudgetExhausted(Exception):
    """The budget of the digest that started a call does not suffice for it."""


class _Job:
    """The analysis of one digest: its budget, its deadline, and whether the model is still usable."""

    def __init__(self, analyst: ModelAnalyst, profile: Profile) -> None:
        settings = analyst.settings
        self.budget = Budget(settings.max_calls, settings.max_tokens, analyst.model.name)
        self._analyst = analyst
        self._profile = profile
        self._extractor = Extractor(profile)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._deadline = analyst.clock() + settings.total_seconds
        self._stopped: FallbackReason | None = None
        self._thinks_key = cache_key("model-thinks", analyst.model)

    async def reorder(self, articles: Sequence[Article]) -> Sequence[int]:
        order = await self._response(order_of(articles, self._profile))
        return range(len(articles)) if isinstance(order, FallbackReason) else order

    async def analyse(self, items: Sequence[Ranked]) -> Analysed:
        """Analyse every item, a few requests at a time."""
        size = ITEMS_PER_CALL if await self._thinks() else 1
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._items(items[at : at + size])) for at in range(0, len(items), size)]
        done = [item for task in tasks for item in task.result()]
        fallbacks = Counter(item.fallback for item in done if item.fallback is not None)
        usage = self.budget.usage().model_copy(update={"fallbacks": dict(fallbacks)})
        return Analysed(tuple(done), usage)

    async def _items(self, items: Sequence[Ranked]) -> list[DigestItem]:
        async with self._slots:
            extracts = await self._extracts([item.article for item in items])
        return [self._item(item, extract) for item, extract in zip(items, extracts, strict=True)]

    def _item(self, item: Ranked, extract: Extract | FallbackReason) -> DigestItem:
        if isinstance(extract, FallbackReason):
            own = self._extractor.extract(item.article)
            return analysed_item(item, own, AnalysisMethod.EXTRACTIVE, fallback=extract)
        return analysed_item(item, extract, AnalysisMethod.MODEL, language=self._profile.language)

    async def _extracts(self, articles: Sequence[Article]) -> Sequence[Extract | FallbackReason]:
        if len(articles) == 1:
            return [await self._response(summary_of(articles[0], self._profile))]
        extracts = await self._response(summaries_of(articles, self._profile))
        if isinstance(extracts, FallbackReason):
            return [extracts] * len(articles)
        return [extract or FallbackReason.INVALID for extract in extracts]

    async def _response(self, request: Request[Response]) -> Response | FallbackReason:
        """Return the model's response, or why there is none."""
        seconds = self._deadline - self._analyst.clock()
        if self._stopped is not None:
            return self._stopped
        if seconds <= 0:
            return FallbackReason.TIMEOUT
        try:
            async with asyncio.timeout(seconds):
                return await self._shared(request)
        except TimeoutError:
            return FallbackReason.TIMEOUT
        except CircuitOpen:
            self._stopped = FallbackReason.CIRCUIT_OPEN
            return self._stopped
        except ModelFailed as error:
            if isinstance(error, ModelRejected | ModelBlocked):
                self._stopped = error.reason
            return error.reason

    async def _shared(self, request: Request[Response]) -> Response | FallbackReason:
        """Return the response, together with all digests of this process that need it now.

        The digest that started the call pays for it. Raises `ModelFailed` and `CircuitOpen`.
        """
        key = request.key(self._analyst.model)
        while True:
            joins = self._analyst.flights.is_running(key)
            try:
                response: Response = await self._analyst.flights.run(key, partial(self._cached_or_paid, request, key))
            except _BudgetExhausted:
                if not joins:
                    return FallbackReason.BUDGET
                continue  # The budget of another digest: this one starts the call.
            return response

    async def _cached_or_paid(self, request: Request[Response], key: str) -> Response:
        """Return the response. The cache is read within the shared call, so that no digest reads it too early."""
        if (cached := await self._analyst.cache.get(key)) is not None:
            return request.read(Completion(str(cached), NO_TOKENS))
        reserved = await self.budget.reserve(request.prompt, self._analyst.settings.max_output_tokens)
        if reserved is None:
            raise _BudgetExhausted
        try:
            completion = await self._paid(request, reserved)
            response = request.read(completion)
        except ModelFailed as error:
            self.budget.failures += 1
            log.warning("model request failed", reason=error.reason.value, error=str(error))
            raise
        if request.is_whole(response):
            await self._analyst.cache.put(key, completion.text)
            if self._analyst.model.thinks:
                await self._analyst.cache.put(self._thinks_key, True)
        return response

    async def _paid(self, request: Request[Response], reserved: Reservation) -> Completion:
        """Send the request and charge the budget. Raises `ModelFailed` and `CircuitOpen`."""
        try:
            completion = await self._send(request)
        except CircuitOpen:
            self.budget.refund(reserved)
            raise
        except ModelFailed as error:
            self.budget.charge(reserved, error.tokens)
            raise
        except BaseException:
            self.budget.charge(reserved, None)
            raise
        self.budget.charge(reserved, completion.tokens)
        return completion

    async def _send(self, request: Request[Response]) -> Completion:
        """Send the request through the circuit breaker, which counts only failures of the server."""
        declined: ModelFailed
        async with self._analyst.breaker.guard(MODEL_BREAKER):
            try:
                return await self._analyst.model.complete(
                    request.instructions,
                    request.text,
                    schema=request.schema,
                    max_output_tokens=self._analyst.settings.max_output_tokens,
                    seconds=self._analyst.settings.call_seconds,
                )
            except (ModelRejected, ModelDeclined) as error:
                declined = error
        raise declined

    async def _thinks(self) -> bool:
        """Whether the model thinks, as this process has seen, or another one."""
        return self._analyst.model.thinks or await self._analyst.cache.get(self._thinks_key) is True
