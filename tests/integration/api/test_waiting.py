"""Callers that wait for tasks and follow their events get responses in time and are released when they disconnect."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs

from app import task_hub
from app.api import waiting
from app.api.connection import BoundedProtocol
from app.config import ApiSettings
from app.task_hub import TaskHub
from embedded.stack import Ready
from tests.support.event_streams import Events, following
from tests.support.running_api import KEY, HastyProtocol, RunningApi

DAY = "2026-01-02"
WAIT = {"Prefer": "wait=60"}


@pytest.fixture
def keep_alive() -> int:
    """Seconds: these tests wait until connections have ended."""
    return 1


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    return ApiSettings.model_validate({"supabase_url": stack.url, "supabase_key": stack.secret_key, "api_keys": KEY})


@pytest.fixture
async def http(api: RunningApi) -> AsyncIterator[httpx.AsyncClient]:
    address = f"http://127.0.0.1:{api.port}"
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=address, headers={"X-API-Key": KEY}, trust_env=False, timeout=60, limits=limits
    ) as http:
        yield http


def hub_of(api: RunningApi) -> TaskHub:
    hub: TaskHub = api.app.state.hub
    return hub


async def watched_by(api: RunningApi, count: int) -> None:
    """Wait until this many watch."""
    async with asyncio.timeout(20):
        while hub_of(api).watchers != count:
            await asyncio.sleep(0.01)


def calls(api: RunningApi) -> float:
    """How many calls this process has made to Supabase."""
    metrics = api.app.state.metrics.supabase_calls.collect()
    return float(sum(s.value for metric in metrics for s in metric.samples if s.name.endswith("_total")))


async def post(http: httpx.AsyncClient) -> str:
    """Post a fetch; returns its location."""
    answer = await http.post("/v1/fetches", json={"source_date": DAY})
    assert answer.status_code == 202, answer.text
    return str(answer.headers["location"])


async def show(database: asyncpg.Connection, location: str, message: str) -> None:
    await database.execute(
        "update public.queue set message = $2, updated_at = clock_timestamp() where task_id = $1::text::uuid",
        location.rpartition("/")[2],
        message,
    )


async def test_a_waiting_call_gets_the_final_status(api: RunningApi, http: httpx.AsyncClient) -> None:
    location = await post(http)
    waiter = asyncio.create_task(http.get(location, headers=WAIT))
    await watched_by(api, 1)
    await http.post(f"{location}/cancel")
    answer = await waiter
    assert answer.json()["status"] == "cancelled"
    assert answer.headers["preference-applied"] == "wait=60"
    assert "retry-after" not in answer.headers
    again = await http.get(location, headers=WAIT)
    assert (again.json(), hub_of(api).watchers) == (answer.json(), 0)


async def test_an_expired_wait_gets_the_current_status(api: RunningApi, http: httpx.AsyncClient) -> None:
    location = await post(http)
    for calls_before, applied in (("wait=1", "wait=1"), ("wait=0", "wait=0"), ("wait=soon", None)):
        answer = await http.get(location, headers={"Prefer": calls_before})
        assert (answer.json()["status"], answer.headers.get("preference-applied")) == ("pending", applied)
        assert answer.headers["retry-after"]
    assert hub_of(api).watchers == 0


@pytest.mark.parametrize("path", ["", "/events"])
async def test_waiting_needs_a_readable_task(path: str, api: RunningApi, http: httpx.AsyncClient) -> None:
    location = await post(http)
    for wrong in (f"/v1/fetches/{uuid4()}", location.replace("fetches", "digests")):
        assert (await http.get(wrong + path, headers=WAIT)).status_code == 404
    assert (await http.get(location + path, headers=WAIT | {"X-API-Key": "x"})).status_code == 401
    assert hub_of(api).watchers == 0


async def test_events_arrive_until_the_stream_ends(
    api: RunningApi, http: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    location = await post(http)
    async with following(http, location) as events:
        assert events.answer.headers["content-type"].startswith("text/event-stream")
        first = await events.next()
        await show(database, location, "half\nway \u2028 there")
        second = await events.next()
        async with following(http, location, **{"Last-Event-ID": second["id"]}) as late:
            await http.post(f"{location}/cancel")
            last = await events.next()
            assert await late.next() == last  # the received event was not sent again
        assert await events.next() == {"over": True}
    assert [event["event"] for event in (first, second, last)] == ["progress", "progress", "end"]
    assert second["data"]["message"] == "half\nway \u2028 there"
    assert last["data"] == (await http.get(location)).json()
    # A browser reconnects after every end until it gets 204.
    again = await http.get(f"{location}/events", headers={"Last-Event-ID": last["id"]})
    assert (again.status_code, again.content) == (204, b"")
    async with following(http, location) as events:
        assert await events.next() == last
    await watched_by(api, 0)


@pytest.mark.parametrize("path", ["", "/events"])
async def test_disconnected_callers_are_released(path: str, api: RunningApi, http: httpx.AsyncClient) -> None:
    location = await post(http)
    request = f"GET {location}{path} HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\nprefer: wait=60\r\n\r\n".encode()
    async with AsyncExitStack() as connections:
        for _ in range(20):
            raw = await connections.enter_async_context(api.connected())
            await raw.send(request)
        await watched_by(api, 20)
    await watched_by(api, 0)
    await api.until_gone()


async def test_one_query_serves_all_waiters_and_none_runs_without(api: RunningApi, http: httpx.AsyncClient) -> None:
    locations = [await post(http) for _ in range(10)]
    waiters: list[asyncio.Task[httpx.Response]] = []
    while len(waiters) < 100:  # a few at a time: this server quickly closes connections that are silent
        waiters += [asyncio.create_task(http.get(location, headers=WAIT)) for location in locations]
        await watched_by(api, len(waiters))
    begun, calls_before = asyncio.get_running_loop().time(), calls(api)
    while calls(api) - calls_before < 8:
        await asyncio.sleep(0.01)
    # Eight calls take seven intervals; one call that began before is allowed too.
    assert asyncio.get_running_loop().time() - begun > 6 * task_hub.POLL_INTERVAL
    for location in locations:
        await http.post(f"{location}/cancel")
    assert {(await waiter).json()["status"] for waiter in waiters} == {"cancelled"}
    await watched_by(api, 0)
    await asyncio.sleep(2 * task_hub.POLL_INTERVAL)
    calls_before = calls(api)
    await asyncio.sleep(3 * task_hub.POLL_INTERVAL)
    assert calls(api) == calls_before


async def test_a_new_waiter_gets_the_newer_known_status(
    api: RunningApi, http: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    location = await post(http)
    read = await api.app.state.services.tasks.get_task(UUID(location.rpartition("/")[2]))
    with hub_of(api).watching(read) as first:
        await show(database, location, "half way")
        assert await first.wait_for_update(20)
        with hub_of(api).watching(read) as late:
            assert await late.wait_for_update(20)
            assert (late.task, late.task.message) == (first.task, "half way")


async def test_an_unexpected_body_logs_no_error(
    api: RunningApi, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = await post(http)
    monkeypatch.setattr(BoundedProtocol, "request_timeout", HastyProtocol.request_timeout)
    for path in ("", "/events"):
        request = f"GET {location}{path} HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\nprefer: wait=60\r\n"
        async with api.connected() as raw:
            with suppress(ConnectionError):
                await raw.send(request.encode() + b"content-length: 600000\r\n\r\n" + b"x" * 600_000)
                assert (await raw.rest()).startswith(b"HTTP/1.1 200")
        await watched_by(api, 0)
    await api.until_gone()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_many_watched_tasks_are_read_in_several_calls(
    api: RunningApi, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_hub, "MAX_KNOWN", 3)
    locations = [await post(http) for _ in range(10)]
    waiters = [asyncio.create_task(http.get(location, headers=WAIT)) for location in locations]
    await watched_by(api, 10)
    for location in locations:
        await http.post(f"{location}/cancel")
    assert [(await waiter).json()["status"] for waiter in waiters] == ["cancelled"] * 10


async def test_beyond_the_limit_calls_do_not_wait(api: RunningApi, http: httpx.AsyncClient) -> None:
    location = await post(http)
    api.app.state.hub._max_watchers = 1  # noqa: SLF001  (the real one takes thousands of connections)
    waiter = asyncio.create_task(http.get(location, headers=WAIT))
    await watched_by(api, 1)
    second = await http.get(location, headers=WAIT)
    assert (second.json()["status"], "preference-applied" in second.headers) == ("pending", False)
    third = await http.get(f"{location}/events")
    assert (third.status_code, third.json()["title"], third.headers["retry-after"]) == (503, "Too many watchers", "5")
    await http.post(f"{location}/cancel")
    assert (await waiter).json()["status"] == "cancelled"


async def test_a_failed_hub_is_restarted(
    api: RunningApi, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_hub, "RETRY_DELAY", 0.05)
    location = await post(http)
    waiter = asyncio.create_task(http.get(location, headers=WAIT))
    await watched_by(api, 1)
    with capture_logs() as logs:
        for task in asyncio.all_tasks():
            if task.get_name() == "task hub":
                task.cancel()
        await http.post(f"{location}/cancel")
        assert (await waiter).json()["status"] == "cancelled"
    assert [record["log_level"] for record in logs if "task hub failed" in record["event"]] == ["error"]


async def test_a_shutdown_answers_all_waiting_calls(api: RunningApi, http: httpx.AsyncClient) -> None:
    location = await post(http)
    waiter = asyncio.create_task(http.get(location, headers=WAIT))
    async with following(http, location) as events:
        assert (await events.next())["event"] == "progress"
        await watched_by(api, 2)
        api.server.end()
        async with asyncio.timeout(20):
            assert (await waiter).json()["status"] == "pending"
            assert await events.next() == {"over": True}
    await api.until_gone()


async def test_only_a_stream_that_is_not_read_is_closed(
    api: RunningApi, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = await post(http)
    monkeypatch.setattr(waiting, "KEEPALIVE_INTERVAL", 0.05)
    monkeypatch.setattr(BoundedProtocol, "response_timeout", HastyProtocol.response_timeout)
    async with following(http, location) as read:
        assert (await read.next())["event"] == "progress"
        end = asyncio.get_running_loop().time() + 3 * HastyProtocol.response_timeout
        while asyncio.get_running_loop().time() < end:
            assert await read.next() == {"comment": "still waiting"}
        async with api.connected(buffer=4096) as raw:
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a socket's
            await raw.send(f"GET {location}/events HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\n\r\n".encode())
            await watched_by(api, 2)
            monkeypatch.setattr(
                waiting, "KEEPALIVE_COMMENT", b": " + b"x" * 500_000 + b"\n\n"
            )  # soon its buffers are full
            reading = asyncio.create_task(drained(read))
            await watched_by(api, 1)
        await http.post(f"{location}/cancel")
        assert (await reading)["event"] == "end"


async def drained(events: Events) -> dict[str, Any]:
    """Read until an event arrives."""
    while "comment" in (event := await events.next()):
        pass
    return event
