"""Calls that the end of a digest cuts off: they are charged, and no other digest waits for their tokens."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from app.digest.chat_model import Completion, Tokens
from app.digest.model_analysis import AnalysisSettings, ModelAnalyst
from app.models.digests import AnalysisMethod, FallbackReason
from app.models.profiles import Profile
from app.ranking.ranking import Ranked
from tests.support.analysis import CountingBreaker, InMemoryCache

Choose = Callable[[int], list[Ranked]]


class HangingModel:
    """A model that never responds about one title; `asked` is set by the request about it."""

    name, address, thinks = "tiny", "", False

    def __init__(self, title: str) -> None:
        self.asked = asyncio.Event()
        self._title = title

    async def complete(self, instructions: str, text: str, **_options: object) -> Completion:  # noqa: ARG002  (the protocol's)
        if self._title in text:
            self.asked.set()
            await asyncio.Event().wait()
        return Completion('{"summary": "Radar reads the memory of ice.", "key_points": []}', Tokens(300, 80))


def analyst_of(model: HangingModel, **settings: Any) -> ModelAnalyst:
    limits = AnalysisSettings(**{"max_output_tokens": 600, **settings})
    return ModelAnalyst(model, limits, CountingBreaker(), InMemoryCache(), clock=lambda: 0.0)


async def test_a_call_at_the_end_of_the_time_is_charged(chosen: Choose, reader: Profile) -> None:
    model = HangingModel("part 0")
    usage = (await analyst_of(model, total_seconds=0.2).begin(reader).analyse(chosen(1))).usage
    assert usage.fallbacks == {FallbackReason.TIMEOUT: 1}
    # On a very slow machine, the time ends before the call.
    assert (usage.calls, usage.estimated_calls, usage.input_tokens > 0) in {(1, 1, True), (0, 0, False)}
    assert model.asked.is_set() == bool(usage.calls)


async def test_no_digest_waits_for_the_tokens_of_a_cut_call(chosen: Choose, reader: Profile) -> None:
    items, model = chosen(2), HangingModel("part 0")
    # Tokens for one call at a time: the second call of the first digest waits for the end of the first one.
    analyst = analyst_of(model, max_tokens=1_200)
    first = asyncio.create_task(analyst.begin(reader).analyse(items))
    await model.asked.wait()
    other = asyncio.create_task(analyst.begin(reader).analyse(items[1:]))
    for _ in range(20):  # It joins the call that waits within a few iterations of the loop.
        await asyncio.sleep(0)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    async with asyncio.timeout(60):
        result = await other
    assert [item.analysis for item in result.items] == [AnalysisMethod.MODEL]
    assert (result.usage.calls, result.usage.input_tokens) == (1, 300)
