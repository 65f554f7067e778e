"""All processes share circuit breakers, which allow one trial; without Supabase, breakers and cache work locally."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.errors import CircuitOpen
from app.persistence.cache import HybridCache
from app.persistence.circuit_breaker import BreakerSettings, CircuitBreakers
from embedded.stack import Ready
from tests.support.stack_process import settings_for

SETTINGS = BreakerSettings(threshold=2, open_for=timedelta(minutes=5), refresh=timedelta(0))
EAGER = BreakerSettings(threshold=2, open_for=timedelta(minutes=5), refresh=timedelta(hours=1))


class Down(Exception):
    pass


async def fail(breakers: CircuitBreakers, name: str = "arxiv") -> None:
    with pytest.raises(Down):
        async with breakers.guard(name):
            raise Down


@pytest.fixture
async def clients(stack: Ready, database_reset: None) -> AsyncIterator[list[AsyncClient]]:  # noqa: ARG001  (run first)
    """The clients of twenty processes."""
    async with AsyncExitStack() as opened:
        yield [await opened.enter_async_context(open_supabase(settings_for(stack))) for _ in range(20)]


async def open_for_all(clients: list[AsyncClient]) -> None:
    for _ in range(2):
        await fail(CircuitBreakers(clients[0], SETTINGS))


async def test_a_half_open_breaker_allows_one_trial_for_twenty_callers(
    clients: list[AsyncClient], database: asyncpg.Connection
) -> None:
    await open_for_all(clients)
    await database.execute("update public.circuit_breakers set retry_at = now() - interval '1 second'")
    trials, release = 0, asyncio.Event()

    async def attempt(client: AsyncClient) -> str:
        nonlocal trials
        try:
            async with CircuitBreakers(client, SETTINGS).guard("arxiv"):
                trials += 1
                await release.wait()
                return "tried"
        except CircuitOpen:
            return "refused"

    attempts = [asyncio.create_task(attempt(client)) for client in clients]
    while sum(task.done() for task in attempts) < 19:
        await asyncio.sleep(0.01)
    release.set()
    assert sorted(await asyncio.gather(*attempts)) == ["refused"] * 19 + ["tried"]
    assert trials == 1
    (state,) = await CircuitBreakers(clients[0]).states()
    assert (state.state, state.failures) == ("closed", 0)


async def test_a_failed_trial_opens_the_breaker_again(clients: list[AsyncClient], database: asyncpg.Connection) -> None:
    await open_for_all(clients)
    await database.execute("update public.circuit_breakers set retry_at = now() - interval '1 second'")
    await fail(CircuitBreakers(clients[1], SETTINGS))
    with pytest.raises(CircuitOpen) as caught:
        async with CircuitBreakers(clients[2], SETTINGS).guard("arxiv"):
            raise AssertionError("not reached")
    assert 290 < caught.value.retry_after <= 300


async def test_a_failure_counts_once_and_only_the_trial_closes(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    async def call(function: str, event: UUID, **more: float) -> Any:
        return (await client.rpc(function, {"p_name": "arxiv", "p_event": str(event), **more}).execute()).data

    first, trial, other = uuid4(), uuid4(), uuid4()
    failed, trial_options = {"p_threshold": 2, "p_open_seconds": 300}, {"p_trial_seconds": 60}
    for _ in range(2):
        assert (await call("breaker_failure", first, **failed))["failures"] == 1
    assert (await call("breaker_failure", other, **failed))["state"] == "open"
    assert not (await call("breaker_try", trial, **trial_options))["allowed"]
    await database.execute("update public.circuit_breakers set retry_at = now()")
    tries = [(await call("breaker_try", event, **trial_options))["allowed"] for event in (trial, other, trial)]
    assert tries == [True, False, True]
    assert (await call("breaker_failure", uuid4(), **failed))["state"] == "half_open"
    assert (await call("breaker_success", other))["state"] == "half_open"
    assert (await call("breaker_success", trial))["state"] == "closed"


async def test_an_opened_breaker_stops_all_processes_after_a_refresh(clients: list[AsyncClient]) -> None:
    refreshing, eager = CircuitBreakers(clients[1], SETTINGS), CircuitBreakers(clients[2], EAGER)
    async with refreshing.guard("arxiv"), eager.guard("arxiv"):
        pass
    await open_for_all(clients)
    with pytest.raises(CircuitOpen):
        async with refreshing.guard("arxiv"):
            raise AssertionError("not reached")
    async with eager.guard("arxiv"):
        pass  # its refresh time is not over


async def test_failures_far_apart_are_not_added_up(clients: list[AsyncClient], database: asyncpg.Connection) -> None:
    await fail(CircuitBreakers(clients[0], SETTINGS))
    await database.execute("update public.circuit_breakers set updated_at = now() - interval '1 day'")
    await fail(CircuitBreakers(clients[0], SETTINGS))
    (state,) = await CircuitBreakers(clients[0]).states()
    assert (state.state, state.failures) == ("closed", 1)


@pytest.fixture
async def cut_off(stack: Ready) -> AsyncIterator[AsyncClient]:
    """A client whose Supabase is unavailable."""
    away = settings_for(stack).model_copy(update={"supabase_url": "http://127.0.0.1:9", "supabase_retries": 0})
    async with open_supabase(away) as client:
        yield client


async def test_without_supabase_a_breaker_protects_its_own_process(
    cut_off: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    breakers = CircuitBreakers(cut_off, SETTINGS)
    await fail(breakers)
    await fail(breakers)
    with pytest.raises(CircuitOpen):
        async with breakers.guard("arxiv"):
            raise AssertionError("not reached")
    loop = asyncio.get_running_loop()
    elapsed, now = SETTINGS.open_for.total_seconds(), loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + elapsed)
    async with breakers.guard("arxiv"):
        pass  # the trial
    async with breakers.guard("arxiv"):
        pass  # closed again


async def test_without_supabase_the_cache_works_in_memory(cut_off: AsyncClient) -> None:
    cache = HybridCache(cut_off)
    assert await cache.get("k") is None
    await cache.put("k", {"v": 1})
    assert await cache.get("k") == {"v": 1}


async def test_the_cache_is_shared_and_expires_by_the_database_clock(
    clients: list[AsyncClient], database: asyncpg.Connection
) -> None:
    await HybridCache(clients[0]).put("k", [1, 2])
    assert await HybridCache(clients[1]).get("k") == [1, 2]
    await HybridCache(clients[0]).put("k", [3])
    assert await HybridCache(clients[3]).get("k") == [3], "a later value replaces it"
    await database.execute("update public.cache_entries set expires_at = now()")
    assert await HybridCache(clients[2]).get("k") is None


async def test_the_memory_cache_is_bounded(clients: list[AsyncClient], database: asyncpg.Connection) -> None:
    cache = HybridCache(clients[0], max_entries=2)
    for key in "abc":
        await cache.put(key, key)
    await database.execute("truncate public.cache_entries")
    assert [await cache.get(key) for key in "abc"] == [None, "b", "c"]
