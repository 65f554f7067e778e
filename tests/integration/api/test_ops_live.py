"""Live updates of the operator's pages: one query for all viewers, a lost database, and a shutdown."""

import asyncio
import html
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from http import HTTPStatus

import asyncpg
import httpx
import pytest

from app.config import ApiSettings
from app.pages.ops.overview_cache import REFRESH_INTERVAL
from embedded.stack import Ready
from tests.support.event_streams import Events, following
from tests.support.operators import EVE_KEY, Operator, settings_with_operators
from tests.support.proxy import Answer, Call, Proxy, no_interference
from tests.support.running_api import RunningApi
from tests.support.tasks import insert_tasks

LOOKING = 40


@pytest.fixture
async def proxy(stack: Ready) -> AsyncIterator[Proxy]:
    proxy = Proxy(stack.url)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
def settings(stack: Ready, proxy: Proxy, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    return settings_with_operators(stack, supabase_url=proxy.url, supabase_retries=0)


@pytest.fixture
async def operator(api: RunningApi) -> AsyncIterator[Operator]:
    limits = httpx.Limits(max_connections=None)
    address = f"http://127.0.0.1:{api.port}"
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=60, limits=limits) as http:
        operator = Operator(http)
        assert (await operator.sign_in()).status_code == HTTPStatus.SEE_OTHER
        yield operator


async def until(events: Events, name: str, text: str) -> dict[str, str]:
    """Wait until a figure has this value; returns all figures."""
    while True:
        found: dict[str, str] = (await events.next())["data"]
        if found.get(name) == text:
            return found


def overview_calls(proxy: Proxy) -> int:
    return sum(call.name == "operator_overview" for call in proxy.calls)


async def test_many_viewers_cause_one_query_in_two_seconds(
    operator: Operator, proxy: Proxy, database: asyncpg.Connection
) -> None:
    clock = asyncio.get_running_loop().time
    async with AsyncExitStack() as looking:
        begun = clock()
        streams = [await looking.enter_async_context(following(operator.http, "/ops")) for _ in range(LOOKING)]
        first = [(await events.next())["data"] for events in streams]
        assert {each["digest ready"] for each in first} == {"0"}
        await insert_tasks(database, 1234, kind="digest")
        seen = await asyncio.gather(*(until(events, "digest ready", "1,234") for events in streams))
        assert {each["notice"] for each in seen} == {""}
        assert 2 <= overview_calls(proxy) <= 1 + (clock() - begun) / REFRESH_INTERVAL
    before = overview_calls(proxy)
    async with following(operator.http, "/ops") as events:
        await events.next()
    assert overview_calls(proxy) <= before + 1, "without viewers there are no queries"


async def test_a_page_reports_a_lost_database_and_recovers(
    operator: Operator, proxy: Proxy, database: asyncpg.Connection
) -> None:
    async def away(_call: Call) -> Answer:
        return Answer(503, "<html>gateway</html>")

    token = await operator.token()
    async with following(operator.http, "/ops") as events:
        last = (await events.next())["data"]["as of"]
        proxy.before = away
        shown = await until(events, "notice", f"The database does not respond. The figures are from {last}.")
        assert shown["as of"] == last
        for path in ("/ops", "/ops/tasks", "/ops/deliveries", "/ops/readers"):
            page = await operator.http.get(path)
            assert (page.status_code, "Reload this page in a moment" in page.text) == (503, True)
        pressed = await operator.http.post("/ops/sign-out", data={"token": token})
        assert (pressed.status_code, "set-cookie" in pressed.headers) == (503, False)
        async with following(operator.http, "/ops") as later:
            assert "does not respond" in (await later.next())["data"]["notice"]
            assert await later.next() == {"over": True}
        await insert_tasks(database, 7, kind="fetch")
        proxy.before = no_interference
        assert (await until(events, "notice", ""))["fetch ready"] == "7"
    assert (await operator.http.get("/ops")).status_code == HTTPStatus.OK


async def test_an_operator_sees_newer_changes_of_another_operator(operator: Operator, api: RunningApi) -> None:
    before = await followed(operator)
    async with (
        operator.http.stream("GET", before) as answer,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False, timeout=60) as http,
    ):
        events, eve = Events(answer), Operator(http)
        assert (await events.next())["data"]["changed"] == ""
        await eve.sign_in(EVE_KEY)
        await eve.press("/ops", "/ops/kinds/fetch/pause", reason="maintenance")
        async with eve.http.stream("GET", await followed(eve)) as evens:
            own = Events(evens)
            while "changed" not in (shown := (await own.next())["data"]):
                assert shown == {"notice": ""}, "figures older than the page"
            assert shown["changed"] == ""
        while not (await events.next())["data"]["changed"]:
            pass
    assert "Paused by eve" in (await operator.http.get("/ops")).text


async def followed(operator: Operator) -> str:
    """The URL of the overview's event stream."""
    page = (await operator.http.get("/ops")).text
    return html.unescape(page.split('data-events="')[1].split('"')[0])


async def test_a_stream_of_figures_is_neither_stored_nor_delayed(operator: Operator) -> None:
    async with following(operator.http, "/ops") as events:
        headers = events.answer.headers
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")


async def test_a_shutdown_ends_the_streams(operator: Operator, api: RunningApi) -> None:
    async with following(operator.http, "/ops") as events:
        await events.next()
        api.app.state.overview_cache.release()
        async with asyncio.timeout(REFRESH_INTERVAL * 5):
            while "over" not in await events.next():
                pass
