"""Circuit breakers and the cache with and without the shared state: calls, local state and log lines."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import ANY

import httpx
import pytest
import respx
from structlog.testing import capture_logs
from supabase import AsyncClient

from app.errors import CircuitOpen
from app.persistence.cache import HybridCache
from app.persistence.circuit_breaker import BreakerSettings, BreakerState, CircuitBreakers
from tests.support.persistence_requests import sent

SETTINGS = BreakerSettings(3, timedelta(seconds=50), timedelta(seconds=20), timedelta(seconds=5))
AWAY = {"message": "no", "code": "57014", "hint": None, "details": None}
MESSAGE = "no (code 57014). It is safe to try again."
CLOSED = {"name": "arxiv", "state": "closed", "failures": 1, "retry_after": None}


class SupabaseDown(Exception):
    pass


class Clock:
    """The event loop's clock, set by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._moved = 0.0
        time = loop.time
        monkeypatch.setattr(loop, "time", lambda: time() + self._moved)

    def move(self, seconds: float) -> None:
        self._moved += seconds


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def fail(breakers: CircuitBreakers, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(SupabaseDown):
            async with breakers.guard("arxiv", SupabaseDown):
                raise SupabaseDown


async def passes(breakers: CircuitBreakers, name: str = "arxiv") -> bool:
    try:
        async with breakers.guard(name):
            return True
    except CircuitOpen:
        return False


def functions(router: respx.Router) -> list[str]:
    return [call.request.url.path.rpartition("/")[2] for call in router.calls]


def test_default_settings_of_a_breaker() -> None:
    minute = timedelta(minutes=1)
    assert BreakerSettings() == BreakerSettings(5, minute, minute, timedelta(seconds=5))
    assert BreakerState("a") == BreakerState("a", "closed", 0, 0.0)


async def test_a_local_breaker_opens_and_allows_one_trial(
    client: AsyncClient, router: respx.Router, clock: Clock
) -> None:
    router.route().respond(500, json=AWAY)
    breakers = CircuitBreakers(client, SETTINGS)
    await fail(breakers, 2)
    assert await passes(breakers)
    await fail(breakers, 2)
    assert await passes(breakers), "a success resets the count"
    await fail(breakers, 3)
    assert (await passes(breakers), await passes(breakers, "another")) == (False, True)
    clock.move(49)
    assert not await passes(breakers)
    clock.move(2)
    async with breakers.guard("arxiv"):
        assert not await passes(breakers), "a second call was allowed during the trial"
        clock.move(21)
        await fail(breakers)
        assert not await passes(breakers)
        clock.move(49)
        assert not await passes(breakers)
        clock.move(2)
    assert await passes(breakers)


async def test_the_shared_state_receives_each_outcome(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/breaker_states").respond(200, json=[CLOSED])
    router.post("/rpc/breaker_failure").respond(200, json=CLOSED | {"state": "open", "retry_after": 0.0})
    router.post("/rpc/breaker_try").respond(200, json=CLOSED | {"state": "half_open", "allowed": True})
    router.post("/rpc/breaker_success").respond(200, json=CLOSED | {"failures": 0})
    breakers = CircuitBreakers(client, SETTINGS)
    await fail(breakers)
    about: dict[str, Any] = {"p_name": "arxiv", "p_event": ANY}
    assert sent(router)[2] == about | {"p_threshold": 3, "p_open_seconds": 50.0, "p_reason": "SupabaseDown"}
    assert await passes(breakers)
    tried, succeeded = (call.request for call in list(router.calls)[-2:])
    assert functions(router) == ["breaker_states", "breaker_failure", "breaker_try", "breaker_success"]
    bodies = [httpx.Response(200, content=request.content).json() for request in (tried, succeeded)]
    assert bodies == [about | {"p_trial_seconds": 20.0}, about]
    assert len({body["p_event"] for body in bodies}) == 1
    assert await passes(breakers)
    assert len(router.calls) == 4, "a closed circuit breaker that was not used for long needs no call"


async def test_the_shared_state_is_read_again_after_the_refresh_time(
    client: AsyncClient, router: respx.Router, clock: Clock
) -> None:
    router.route().respond(200, json=[])
    breakers = CircuitBreakers(client, SETTINGS)
    for seconds, calls in ((0.0, 1), (4.0, 1), (2.0, 2)):
        clock.move(seconds)
        assert await passes(breakers)
        assert functions(router) == ["breaker_states"] * calls


async def test_callers_do_not_wait_for_the_shared_state(client: AsyncClient, router: respx.Router) -> None:
    called, answer = asyncio.Event(), asyncio.Event()

    async def slow(_request: httpx.Request) -> httpx.Response:
        called.set()
        await answer.wait()
        return httpx.Response(200, json=[])

    router.post("/rpc/breaker_states").mock(side_effect=slow)
    breakers = CircuitBreakers(client, replace(SETTINGS, refresh=timedelta(0)))
    first = asyncio.create_task(passes(breakers))
    await called.wait()
    second = asyncio.create_task(passes(breakers))
    await asyncio.sleep(0)
    assert (second.done(), first.done()) == (True, False)
    answer.set()
    assert await first


async def test_only_counted_failures_are_reported(client: AsyncClient, router: respx.Router) -> None:
    router.route().respond(200, json=[])
    with pytest.raises(KeyError):
        async with CircuitBreakers(client).guard("arxiv", SupabaseDown):
            raise KeyError
    assert functions(router) == ["breaker_states"]


async def test_working_without_the_shared_state_is_logged(client: AsyncClient, router: respx.Router) -> None:
    router.route().respond(500, json=AWAY)
    with capture_logs() as logs:
        await fail(CircuitBreakers(client, SETTINGS))
    failure = f"Could not breaker_failure of arxiv: {MESSAGE}"
    assert logs == [
        {"event": "circuit breakers work locally", "log_level": "warning",
         "error": f"Could not read the circuit breakers: {MESSAGE}"},
        {"event": "circuit breaker works locally", "log_level": "warning", "breaker": "arxiv", "error": failure},
    ]  # fmt: skip


@pytest.mark.parametrize(("shared", "known"), [
    (CLOSED, BreakerState("arxiv", "closed", 1, 0.0)),
    ({"name": "a", "state": "closed", "failures": None, "retry_after": 9.0}, BreakerState("a", "closed", 0, 0.0)),
    (CLOSED | {"name": None}, None),
    (CLOSED | {"state": None}, None),
])  # fmt: skip
async def test_the_reported_state_of_a_breaker(
    shared: dict[str, Any], known: BreakerState | None, client: AsyncClient, router: respx.Router
) -> None:
    router.route().respond(200, json=[shared])
    assert await CircuitBreakers(client).states() == ([known] if known else [])


async def test_the_cache_reads_an_entry_once_until_it_expires(
    client: AsyncClient, router: respx.Router, clock: Clock
) -> None:
    router.post("/rpc/cache_get").respond(200, json={"value": [1], "seconds_left": 10.0})
    cache = HybridCache(client)
    assert [await cache.get("k"), await cache.get("k")] == [[1], [1]]
    assert sent(router)[2] == {"p_key": "k"}
    for seconds, calls in ((9.0, 1), (2.0, 2)):
        clock.move(seconds)
        assert await cache.get("k") == [1]
        assert len(router.calls) == calls


@pytest.mark.parametrize(("options", "seconds"), [({}, 21_600.0), ({"ttl": timedelta(minutes=1)}, 60.0)])
async def test_the_cache_keeps_an_entry_until_it_expires(
    options: dict[str, Any], seconds: float, client: AsyncClient, router: respx.Router, clock: Clock
) -> None:
    router.post("/rpc/cache_put").respond(204)
    router.post("/rpc/cache_get").respond(200, text="null")
    cache = HybridCache(client, **options)
    await cache.put("k", {"a": "b\0"})
    assert sent(router)[2] == {"p_key": "k", "p_value": {"a": "b"}, "p_ttl_seconds": seconds}
    clock.move(seconds - 1)
    assert await cache.get("k") == {"a": "b"}
    clock.move(2)
    assert await cache.get("k") is None


async def test_the_cache_removes_the_least_recently_used_entry(client: AsyncClient, router: respx.Router) -> None:
    router.route().respond(200, text="null")
    cache = HybridCache(client, max_entries=2)
    for key in "ab":
        await cache.put(key, key)
    assert await cache.get("a") == "a"
    await cache.put("c", "c")
    assert [await cache.get(key) for key in "abc"] == ["a", None, "c"]


async def test_an_unreachable_cache_is_logged_and_fails_no_call(client: AsyncClient, router: respx.Router) -> None:
    router.route().respond(500, json=AWAY)
    cache = HybridCache(client)
    with capture_logs() as logs:
        assert await cache.get("k") is None
        await cache.put("k", 1)
        assert await cache.get("k") == 1
    assert logs == [
        {"event": "cache not read", "log_level": "warning", "key": "k",
         "error": f"Could not read cache entry k: {MESSAGE}"},
        {"event": "cache not written", "log_level": "warning", "key": "k",
         "error": f"Could not write cache entry k: {MESSAGE}"},
    ]  # fmt: skip
