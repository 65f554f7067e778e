"""The transport: time limits, retries, counters, and the mapping of aiohttp's errors."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from io import BytesIO
from typing import Any

import aiohttp
import httpx
import pytest
import respx
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from app.client.call import Call
from app.client.factory import open_supabase
from app.client.transport import CallCounters, CountingTransport, ErrorMappingTransport
from app.config import SupabaseSettings
from tests.support.mocked_supabase import MockedSupabase

URL_, KEY = "http://project.test", "sb_secret_x"
HEADERS = CIMultiDictProxy(CIMultiDict([("x", "1"), ("x", "2")]))
CALL = Call("POST", URL(f"{URL_}/a%2Fb?c=%2C", encoded=True), HEADERS)


def settings(**changes: object) -> SupabaseSettings:
    return SupabaseSettings.model_validate({"supabase_url": URL_, "supabase_key": KEY} | changes)


@pytest.mark.parametrize(("chance", "waits"), [(0, [0.1, 0.2, 0.4, 0.8, 1.6]), (1, [0.2, 0.4, 0.8, 1.6, 2.0])])
async def test_retries_wait_longer_each_time_with_jitter(
    chance: int, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `chance`, a wait is between half and all of the planned time."""
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("asyncio.sleep", wait)
    monkeypatch.setattr("random.uniform", lambda least, most: (least, most)[chance])
    router = respx.Router()
    router.route().respond(503, json={"message": "later"})
    async with open_supabase(settings(supabase_retries=5), transport=MockedSupabase(router.async_handler)) as client:
        with pytest.raises(httpx.HTTPStatusError):
            await client.table("items").select("*").execute()
    assert (waited, len(router.calls)) == (waits, 6)


@pytest.mark.parametrize(
    ("answers", "calls", "attempts"),
    [
        ([200], ["200"], ["200"]),
        ([503, 200], ["200"], ["503", "200"]),
        ([404], ["404"], ["404"]),
        ([httpx.ConnectError("no"), 200], ["200"], ["ConnectError", "200"]),
        ([503, httpx.ReadTimeout("no")], ["ReadTimeout"], ["503", "ReadTimeout"]),
    ],
)
async def test_calls_and_attempts_are_counted_by_outcome(
    answers: list[Any], calls: list[str], attempts: list[str]
) -> None:
    router = respx.Router()
    router.route().mock(
        side_effect=[httpx.Response(each, json=[]) if isinstance(each, int) else each for each in answers]
    )
    counted: tuple[list[str], list[str]] = ([], [])
    counters = CallCounters(call=counted[0].append, attempt=counted[1].append)
    once = settings(supabase_retries=1)
    transport = MockedSupabase(router.async_handler)
    async with open_supabase(once, transport=transport, counters=counters) as client:
        await asyncio.gather(client.table("items").select("*").execute(), return_exceptions=True)
    assert counted == (calls, attempts)


async def test_a_call_that_times_out_is_counted() -> None:
    counted: list[str] = []

    async def gone(_request: httpx.Request) -> httpx.Response:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await CountingTransport(MockedSupabase(gone), counted.append).send(CALL)
    assert counted == ["CancelledError"]


class Session:
    """Replaces aiohttp's session: records the options and the request, and returns or raises what the test sets."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.opened: dict[str, Any] = {}
        self.sent: dict[str, Any] = {}
        self.closed = 0

    def open(self, **options: Any) -> "Session":
        self.opened = options
        return self

    async def request(self, method: str, url: URL, **options: Any) -> Any:
        self.sent = {"method": method, "url": str(url), **options}
        raise self._error

    async def close(self) -> None:
        self.closed += 1


Send = Callable[[Exception, bytes], Awaitable[tuple[Session, httpx.TransportError]]]


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Send:
    async def sent(error: Exception, content: bytes) -> tuple[Session, httpx.TransportError]:
        session, transport = Session(error), ErrorMappingTransport(7, read_timeout=2.0)
        monkeypatch.setattr(aiohttp, "ClientSession", session.open)
        with pytest.raises(httpx.TransportError) as raised:
            await transport.send(replace(CALL, content=content))
        await transport.aclose()
        return session, raised.value

    return sent


async def test_a_session_keeps_no_cookies_and_limits_connections(send: Send) -> None:
    session, _ = await send(aiohttp.ClientError(), b"")
    assert isinstance(session.opened["cookie_jar"], aiohttp.DummyCookieJar)
    assert not session.opened["auto_decompress"]
    assert session.opened["connector"].limit == 7
    assert session.closed == 1


async def test_aiohttp_gets_every_limit_and_follows_no_redirect(send: Send) -> None:
    session, _ = await send(aiohttp.ClientError(), b"{}")
    assert session.opened["timeout"] == aiohttp.ClientTimeout(sock_connect=3.0, sock_read=2.0, connect=5.0)
    assert session.sent["allow_redirects"] is False
    assert (session.sent["method"], session.sent["url"]) == ("POST", f"{URL_}/a%2Fb?c=%2C")
    assert session.sent["headers"].getall("x") == ["1", "2"]


@pytest.mark.parametrize(("size", "kind"), [(0, type(None)), (1, bytes), (2**20, bytes), (2**20 + 1, BytesIO)])
async def test_only_a_large_body_is_sent_in_chunks(size: int, kind: type, send: Send) -> None:
    session, _ = await send(aiohttp.ClientError(), b"x" * size)
    assert type(session.sent["data"]) is kind


@pytest.mark.parametrize(
    ("error", "meaning", "text"),
    [
        (aiohttp.ConnectionTimeoutError("a"), httpx.ConnectTimeout, "a"),
        (aiohttp.ConnectionTimeoutError(), httpx.ConnectTimeout, "ConnectionTimeoutError"),
        (aiohttp.SocketTimeoutError("a"), httpx.ReadTimeout, "a"),
        (aiohttp.ServerTimeoutError(), httpx.ReadTimeout, "ServerTimeoutError"),
        (aiohttp.ServerDisconnectedError("a"), httpx.RemoteProtocolError, "a"),
        (aiohttp.ClientPayloadError(), httpx.RemoteProtocolError, "ClientPayloadError"),
        (aiohttp.ClientConnectionResetError("a"), httpx.ReadError, "a"),
        (aiohttp.ClientOSError(), httpx.ReadError, "ClientOSError"),
        (aiohttp.ClientConnectionError("a"), httpx.ReadError, "a"),
        (aiohttp.ClientError("a"), httpx.RemoteProtocolError, "a"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_aiohttp_errors_are_mapped_to_what_happened(
    error: Exception, meaning: type[httpx.TransportError], text: str, send: Send
) -> None:
    _, raised = await send(error, b"")
    assert (type(raised), str(raised)) == (meaning, text)
    assert raised.__cause__ is error
