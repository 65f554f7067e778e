"""A digest of twelve items with each fake of an OpenAI-compatible server, through the real client library."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.digest.analysis import Analysed
from app.digest.model_analysis import AnalysisSettings, ModelAnalyst
from app.digest.openai_model import ModelSettings, Sleep, build_model
from app.external.client import open_external
from app.models.digests import AnalysisMethod, FallbackReason
from app.models.profiles import Profile
from app.ranking.ranking import Ranked
from tests.support import model_servers
from tests.support.analysis import CountingBreaker, InMemoryCache
from tests.support.model_servers import (
    BUSY,
    OUTPUT_TOKENS,
    PROMPT_TOKENS,
    REASONING_TOKENS,
    Behaviour,
    ModelServer,
    Request,
    busy_once,
    format_of,
    is_order,
    model_server,
    refused,
)
from tests.support.scripted_server import Step, hang_up, stall

Choose = Callable[[int], list[Ranked]]
ITEMS = 12
ORDER = 1
PER_CALL = PROMPT_TOKENS + OUTPUT_TOKENS
MODELS = Path(__file__).parents[3] / "docs" / "MODELS.md"


@asynccontextmanager
async def analyst_with(
    behaviour: Behaviour,
    *,
    settings: AnalysisSettings | None = None,
    cache: InMemoryCache | None = None,
    breaker: CountingBreaker | None = None,
    sleep: Sleep = asyncio.sleep,
    **model: Any,
) -> AsyncIterator[tuple[ModelAnalyst, ModelServer]]:
    """An analyst with a real client of a server that behaves like this."""
    async with model_server(behaviour) as server, open_external() as http:
        client = build_model(http, ModelSettings("k-1", "tiny", server.url, **model), sleep=sleep)
        memory, guard = cache or InMemoryCache(), breaker or CountingBreaker()
        yield ModelAnalyst(client, settings or AnalysisSettings(), guard, memory), server


async def digest_with(analyst: ModelAnalyst, items: list[Ranked], reader: Profile) -> Analysed:
    """Order and analyse, as a digest does."""
    analysis = analyst.begin(reader)
    assert sorted(await analysis.reorder([item.article for item in items])) == list(range(len(items)))
    result = await analysis.analyse(items)
    assert [item.article for item in result.items] == [item.article for item in items]
    return result


def by_model(result: Analysed) -> int:
    """Count the summaries of the model, each of which names its article."""
    done = [item for item in result.items if item.analysis is AnalysisMethod.MODEL]
    assert all(item.summary == f"A summary of {item.article.title}." for item in done)
    assert all(item.fallback is None for item in done)
    return len(done)


@dataclass(frozen=True)
class Expected:
    """What a digest of twelve items costs with a fake. `sent` counts requests, with the refused ones."""

    calls: int = ORDER + ITEMS
    sent: int = ORDER + ITEMS
    tokens: int = (ORDER + ITEMS) * PER_CALL
    model: dict[str, Any] = field(default_factory=dict)


THINKING = Expected(3, 3, 3 * (PER_CALL + REASONING_TOKENS))
ANSWERS = {
    "structured": Expected(sent=14),
    "without_json_schema": Expected(sent=14),
    "without_json_schema_422": Expected(sent=14),
    "without_json_object": Expected(sent=15),
    "prose": Expected(),
    "code_fence": Expected(),
    "think_tags": Expected(3, 3, 3 * PER_CALL),
    "only_end_of_thinking": Expected(3, 3, 3 * PER_CALL),
    "reasoning_content": THINKING,
    "empty_content": Expected(3, 3, 3 * PER_CALL),
    "hidden_reasoning": Expected(tokens=(ORDER + ITEMS) * (PER_CALL + REASONING_TOKENS)),
    "needs_long_output": THINKING,
    "content_parts": Expected(),
    "small_context": Expected(sent=14),
    "without_max_tokens": Expected(sent=14),
    "without_effort": Expected(3, 4, 3 * PER_CALL, {"reasoning_effort": "low"}),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_every_item_has_the_models_summary(name: str, chosen: Choose, reader: Profile) -> None:
    expected, breaker = ANSWERS[name], CountingBreaker()
    async with analyst_with(getattr(model_servers, name), breaker=breaker, **expected.model) as (analyst, server):
        result = await digest_with(analyst, chosen(ITEMS), reader)
    usage = result.usage
    assert by_model(result) == ITEMS
    assert (usage.calls, len(server.requests)) == (expected.calls, expected.sent)
    assert (usage.failures, usage.fallbacks) == (0, {})
    assert usage.input_tokens + usage.output_tokens == expected.tokens
    assert usage.estimated_calls == 0
    assert set(breaker.outcomes) == {"success"}


CALLS_OF_ALL, ONE_CALL = ORDER + ITEMS, 1
EXCERPTS = {
    "cut_off": (FallbackReason.CUT_OFF, 3, 3 * PROMPT_TOKENS + 3 * 8_000),
    "refusal": (FallbackReason.REFUSED, CALLS_OF_ALL, CALLS_OF_ALL * PER_CALL),
    "prompt_filter": (FallbackReason.REFUSED, CALLS_OF_ALL, 0),
    "content_filter": (FallbackReason.REFUSED, CALLS_OF_ALL, CALLS_OF_ALL * PER_CALL),
    "blank_content": (FallbackReason.INVALID, CALLS_OF_ALL, CALLS_OF_ALL * PER_CALL),
    "wrong_key": (FallbackReason.REJECTED, ONE_CALL, 0),
    "spent": (FallbackReason.REJECTED, ONE_CALL, 0),
    "overloaded": (FallbackReason.BUSY, CALLS_OF_ALL, 0),
    "rate_limited": (FallbackReason.BUSY, ONE_CALL, 0),
}


@pytest.mark.parametrize("name", EXCERPTS)
async def test_every_item_has_an_excerpt_and_its_reason(name: str, chosen: Choose, reader: Profile) -> None:
    reason, calls, tokens = EXCERPTS[name]
    async with analyst_with(getattr(model_servers, name), retries=0) as (analyst, server):
        result = await digest_with(analyst, chosen(ITEMS), reader)
    usage = result.usage
    assert Counter(item.fallback for item in result.items) == {reason: ITEMS}
    assert all(item.analysis is AnalysisMethod.EXTRACTIVE and item.summary for item in result.items)
    assert usage.fallbacks == {reason: ITEMS}
    assert (usage.calls, len(server.requests), usage.failures) == (calls, calls, calls)
    assert usage.input_tokens + usage.output_tokens == tokens


async def test_missing_usage_is_estimated_from_the_texts(chosen: Choose, reader: Profile) -> None:
    async with analyst_with(model_servers.no_usage) as (analyst, server):
        result = await digest_with(analyst, chosen(ITEMS), reader)
    sent = sum(len(each["content"].encode()) for request in server.requests for each in request["messages"])
    usage = result.usage
    assert by_model(result) == ITEMS
    assert (usage.calls, usage.estimated_calls) == (13, 13)
    assert sent // 3 <= usage.input_tokens <= sent // 3 + 13
    assert 13 * 30 < usage.output_tokens < 13 * 100


async def test_without_usage_hidden_reasoning_counts_as_the_limit(chosen: Choose, reader: Profile) -> None:
    settings = AnalysisSettings(max_output_tokens=9_000, max_tokens=28_000)
    async with analyst_with(model_servers.no_usage, settings=settings, reasoning_effort="high") as (analyst, _):
        result = await digest_with(analyst, chosen(ITEMS), reader)
    assert result.usage.output_tokens == 9_000 * result.usage.calls
    assert result.usage.input_tokens + result.usage.output_tokens <= 28_000
    assert result.usage.fallbacks == {FallbackReason.BUDGET: ITEMS - by_model(result)}


@pytest.mark.parametrize(("step", "reason"), [(stall, FallbackReason.TIMEOUT), (hang_up, FallbackReason.UNAVAILABLE)])
async def test_a_lost_response_is_paid_once_and_keeps_its_reservation(
    step: Step, reason: FallbackReason, chosen: Choose, reader: Profile
) -> None:
    settings = AnalysisSettings(call_seconds=0.3, max_output_tokens=5_000, max_tokens=9_000, concurrency=1)
    async with analyst_with(lambda _request: step, settings=settings) as (analyst, server):
        result = await analyst.begin(reader).analyse(chosen(2))
    assert result.usage.fallbacks == {reason: 1, FallbackReason.BUDGET: 1}
    assert (result.usage.calls, result.usage.estimated_calls, len(server.requests)) == (1, 1, 1)
    sent = sum(len(each["content"].encode()) for each in server.requests[0]["messages"])
    assert (result.usage.input_tokens, result.usage.output_tokens) == (-(-sent // 3), 0)


@pytest.mark.parametrize(("first", "delay"), [(BUSY, 7.0), (refused(529, "Overloaded"), 0.5), (refused(503, "x"), 0.5)])
async def test_a_busy_server_is_asked_again_when_it_says(
    first: Any, delay: float, chosen: Choose, reader: Profile
) -> None:
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    async with analyst_with(busy_once(first), sleep=sleep) as (analyst, server):
        result = await digest_with(analyst, chosen(ITEMS), reader)
    assert (by_model(result), result.usage.calls, len(server.requests)) == (ITEMS, 13, 14)
    assert [delay / 2 <= waited <= delay for waited in delays] == [True]


async def test_a_retry_after_beyond_the_deadline_is_not_awaited(chosen: Choose, reader: Profile) -> None:
    async with analyst_with(model_servers.rate_limited, retries=5) as (analyst, server):
        async with asyncio.timeout(30):
            results = [await digest_with(analyst, chosen(2), reader) for _ in range(2)]
    assert [result.usage.fallbacks for result in results] == [{FallbackReason.BUSY: 2}] * 2
    assert len(server.requests) == 1, "nothing is sent until then, also by other digests"


async def test_an_order_that_does_not_fit_costs_no_summaries(chosen: Choose, reader: Profile) -> None:
    breaker = CountingBreaker()
    async with analyst_with(model_servers.short_context, breaker=breaker) as (analyst, server):
        result = await digest_with(analyst, chosen(ITEMS), reader)
    assert (by_model(result), result.usage.failures, set(breaker.outcomes)) == (ITEMS, 1, {"success"})
    assert [request["max_tokens"] for request in server.requests[-ITEMS:]] == [8_000] * ITEMS


async def test_invalid_json_at_the_server_concerns_one_request(chosen: Choose, reader: Profile) -> None:
    breaker = CountingBreaker()
    async with analyst_with(model_servers.invalid_generation, breaker=breaker) as (analyst, server):
        result = await digest_with(analyst, chosen(3), reader)
    assert result.usage.fallbacks == {FallbackReason.INVALID: 3}
    assert (len(server.requests), set(breaker.outcomes)) == (4, {"success"})


async def test_the_accepted_format_is_remembered(chosen: Choose, reader: Profile) -> None:
    async with analyst_with(model_servers.without_json_object) as (analyst, server):
        for _ in range(2):
            await digest_with(analyst, chosen(3), reader.model_copy(update={"goals": str(_)}))
    formats = [format_of(request) for request in server.requests]
    assert formats == ["json_schema", "json_object", *["text"] * 8]


async def test_a_configured_format_is_not_changed(chosen: Choose, reader: Profile) -> None:
    async with analyst_with(model_servers.without_json_object, answer_format="json_object") as (analyst, server):
        result = await digest_with(analyst, chosen(2), reader)
    assert [format_of(request) for request in server.requests] == ["json_object"]
    assert result.usage.fallbacks == {FallbackReason.REJECTED: 2}


async def test_a_smaller_limit_that_was_accepted_is_remembered(chosen: Choose, reader: Profile) -> None:
    async with analyst_with(model_servers.small_context) as (analyst, server):
        await digest_with(analyst, chosen(1), reader)
    assert [request["max_tokens"] for request in server.requests] == [8_000, 2_000, 2_000]


async def test_another_process_knows_that_the_model_thinks(chosen: Choose, reader: Profile) -> None:
    cache = InMemoryCache()
    async with analyst_with(model_servers.reasoning_content, cache=cache) as (analyst, server):
        await digest_with(analyst, chosen(ITEMS), reader)
        async with open_external() as http:
            model = build_model(http, ModelSettings("k-1", "tiny", server.url))
            other = ModelAnalyst(model, AnalysisSettings(), CountingBreaker(), cache)
            result = await digest_with(other, chosen(ITEMS), reader.model_copy(update={"name": "Bo"}))
    assert (len(server.requests), result.usage.calls) == (3, 0), "all responses are cached"
    assert by_model(result) == ITEMS


async def test_a_batch_gives_each_article_its_own_entry(chosen: Choose, reader: Profile) -> None:
    def some(request: Request) -> Step:
        if is_order(request):
            return model_servers.reasoning_content(request)
        entries = model_servers.answer_to(request)["summaries"]
        wrong = [{"number": 3, "summary": 7, "key_points": []}, {**entries[3], "number": 99}, entries[4], entries[4]]
        return model_servers.completed({"summaries": [*entries[:2], *wrong, "nonsense", entries[5]]})

    async with analyst_with(some) as (analyst, server):
        result = await digest_with(analyst, chosen(6), reader)
        again = await digest_with(analyst, chosen(6), reader)
    assert (again.usage.calls, len(server.requests)) == (1, 3), "the order is cached, an incomplete response is not"
    assert [item.fallback is None for item in result.items] == [True, True, False, False, False, True]
    assert by_model(result) == 3
    assert result.usage.fallbacks == {FallbackReason.INVALID: 3}


async def test_items_wait_for_reservations_of_running_calls(chosen: Choose, reader: Profile) -> None:
    # The worst case of one call fits, that of four at once does not.
    settings = AnalysisSettings(max_output_tokens=8_000, max_tokens=20_000, concurrency=4)
    async with analyst_with(model_servers.prose, settings=settings) as (analyst, _):
        result = await digest_with(analyst, chosen(ITEMS), reader)
    assert (by_model(result), result.usage.fallbacks) == (ITEMS, {})


def test_every_fake_is_documented() -> None:
    text = MODELS.read_text(encoding="utf-8")
    names = {*ANSWERS, *EXCERPTS, "no_usage", "busy_once", "short_context", "invalid_generation"}
    assert sorted(name for name in names if f"`{name}`" not in text) == []
