"""Digests that need the same responses of a model at the same time: each call is made, and paid, once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from supabase import AsyncClient

from app.digest.analysis import Analysed
from app.digest.model_analysis import AnalysisSettings, ModelAnalyst
from app.digest.openai_model import ModelSettings, build_model
from app.external.client import open_external
from app.models.digests import AnalysisMethod, FallbackReason
from app.models.profiles import Profile
from app.persistence.cache import HybridCache
from app.ranking.ranking import Ranked
from tests.support.analysis import CountingBreaker, InMemoryCache
from tests.support.model_servers import Behaviour, ModelServer, Request, code_fence, reasoning_content, refusal
from tests.support.scripted_server import Step

Choose = Callable[[int], list[Ranked]]
DIGESTS = 50


class Gate:
    """A behaviour that responds to nothing until it is opened; `arrived` is set by the first request."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.arrived, self.opened = asyncio.Event(), asyncio.Event()
        self._behaviour = behaviour

    def __call__(self, request: Request) -> Step:
        async def step(writer: asyncio.StreamWriter) -> None:
            self.arrived.set()
            await self.opened.wait()
            await self._behaviour(request)(writer)

        return step


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def start(
    opened: AsyncExitStack, behaviour: Behaviour, client: AsyncClient | None, **settings: int
) -> tuple[Callable[[], ModelAnalyst], ModelServer]:
    """A server, and what makes analysts that call it, each as in a separate process; without a client, without rpcs."""
    server = ModelServer(behaviour)
    await server.start()
    opened.push_async_callback(server.stop)
    http = await opened.enter_async_context(open_external())

    def analyst() -> ModelAnalyst:
        model = build_model(http, ModelSettings("k-1", "tiny", server.url))
        cache = HybridCache(client, ttl=timedelta(hours=1)) if client else InMemoryCache()
        return ModelAnalyst(model, AnalysisSettings(**settings), CountingBreaker(), cache)

    return analyst, server


async def digest(analyst: ModelAnalyst, items: list[Ranked], reader: Profile) -> Analysed:
    analysis = analyst.begin(reader)
    await analysis.reorder([item.article for item in items])
    return await analysis.analyse(items)


def written_by_model(result: Analysed) -> bool:
    return {item.analysis for item in result.items} == {AnalysisMethod.MODEL}


@pytest.mark.parametrize(("behaviour", "calls"), [(code_fence, 13), (reasoning_content, 3)])
async def test_fifty_simultaneous_digests_make_each_call_once(
    behaviour: Behaviour, calls: int, opened: AsyncExitStack, client: AsyncClient, chosen: Choose, reader: Profile
) -> None:
    analyst, server = await start(opened, behaviour, client)
    items, shared = chosen(12), analyst()
    readers = [reader.model_copy(update={"name": f"Reader {number}"}) for number in range(DIGESTS)]
    results = await asyncio.gather(*(digest(shared, items, each) for each in readers))
    assert all(map(written_by_model, results))
    bodies = [str(request["messages"]) for request in server.requests]
    assert (len(bodies), len(set(bodies))) == (calls, calls)
    assert sum(result.usage.calls for result in results) == calls
    assert sum(result.usage.input_tokens for result in results) == 300 * calls
    later = await digest(analyst(), items, reader)
    assert (written_by_model(later), later.usage.calls, len(server.requests)) == (True, 0, calls), "another process"


async def test_a_cancelled_payer_does_not_fail_the_others(
    opened: AsyncExitStack, chosen: Choose, reader: Profile
) -> None:
    gate = Gate(code_fence)
    analyst, server = await start(opened, gate, None)
    items, shared = chosen(1), analyst()
    payer = asyncio.create_task(shared.begin(reader).analyse(items))
    await gate.arrived.wait()
    other = asyncio.create_task(shared.begin(reader).analyse(items))
    for _ in range(20):  # Without rpcs it joins within a few iterations of the loop.
        await asyncio.sleep(0)
    payer.cancel()
    await asyncio.wait({payer})
    gate.opened.set()
    result = await other
    assert (payer.cancelled(), written_by_model(result), len(server.requests)) == (True, True, 1)


async def test_an_error_is_not_cached(opened: AsyncExitStack, chosen: Choose, reader: Profile) -> None:
    behaviours = [code_fence, refusal]

    def first_refuses(request: Request) -> Step:
        return (behaviours.pop() if len(behaviours) > 1 else behaviours[0])(request)

    analyst, server = await start(opened, first_refuses, None)
    items, shared = chosen(1), analyst()
    results = await asyncio.gather(*(shared.begin(reader).analyse(items) for _ in range(3)))
    assert [result.usage.fallbacks for result in results] == [{FallbackReason.REFUSED: 1}] * 3
    assert (sum(result.usage.failures for result in results), len(server.requests)) == (1, 1)
    assert written_by_model(await shared.begin(reader).analyse(items))
    assert len(server.requests) == 2


async def test_a_payer_without_budget_leaves_the_call_to_others(
    opened: AsyncExitStack, chosen: Choose, reader: Profile
) -> None:
    analyst, server = await start(opened, code_fence, None, max_calls=1, concurrency=1)
    items, shared = chosen(3), analyst()
    # One pays for the first item only; each of the others pays for one of the rest.
    results = await asyncio.gather(*(shared.begin(reader).analyse(items) for _ in range(3)))
    assert [result.usage.calls for result in results] == [1, 1, 1]
    assert len({str(request["messages"]) for request in server.requests}) == len(server.requests) == 3
    assert any(map(written_by_model, results))
