"""The transport: time limits, retries, counters, and the mapping of aiohttp's errors."""

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

import aiohttp
import httpx
import pytest
import respx
from yarl import URL

from app.client.factory import open_supabase
from app.client.session import REQUEST_URL
from app.client.transport import CallCounters, CountingTransport, ErrorMappingTransport, build_timeout
from app.config import SupabaseSettings

URL_, KEY = "http://project.test", "sb_secret_x"
SLOW: tuple[tuple[str, object], ...] = (("supabase_retries", 4), ("supabase_retry_backoff", 0.25))


def settings(**changes: object) -> SupabaseSettings:
    return SupabaseSettings.model_validate({"supabase_url": URL_, "supabase_key": KEY} | changes)


def test_each_attempt_has_the_timeouts_of_the_settings() -> None:
    timeout = build_timeout(
        settings(supabase_connect_timeout=1, supabase_read_timeout=2, supabase_pool_timeout=3)
    ).as_dict()
    assert (timeout["connect"], timeout["read"], timeout["pool"]) == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(("chance", "waits"), [(0, [0.25, 0.5, 1.0, 2.0]), (1, [0.5, 1.0, 2.0, 2.0])])
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
    async with open_supabase(settings(**dict(SLOW)), transport=httpx.MockTransport(router.async_handler)) as client:
        with pytest.raises(httpx.HTTPStatusError):
            await client.table("items").select("*").execute()
    assert (waited, len(router.calls)) == (waits, 5)


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
    once = settings(supabase_retries=1, supabase_retry_backoff=0)
    transport = httpx.MockTransport(router.async_handler)
    async with open_supabase(once, transport=transport, counters=counters) as client:
        await asyncio.gather(client.table("items").select("*").execute(), return_exceptions=True)
    assert counted == (calls, attempts)


async def test_a_call_that_times_out_is_counted() -> None:
    counted: list[str] = []

    async def gone(_request: httpx.Request) -> httpx.Response:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await CountingTransport(httpx.MockTransport(gone), counted.append).handle_async_request(
            httpx.Request("GET", URL_)
        )
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

    def request(self, method: str, url: URL, **options: Any) -> Any:
        self.sent = {"method": method, "url": str(url), **options}
        raise self._error

    async def close(self) -> None:
        self.closed += 1


def attempt(content: bytes) -> httpx.Request:
    extensions = {"timeout": {"connect": 1.0, "read": 2.0, "pool": 3.0}, REQUEST_URL: f"{URL_}/a%2Fb?c=%2C"}
    return httpx.Request("POST", URL_, headers=[("x", "1"), ("x", "2")], content=content, extensions=extensions)


Send = Callable[[Exception, bytes], Awaitable[tuple[Session, httpx.TransportError]]]


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Send:
    async def sent(error: Exception, content: bytes) -> tuple[Session, httpx.TransportError]:
        session, transport = Session(error), ErrorMappingTransport(7)
        monkeypatch.setattr(aiohttp, "ClientSession", session.open)
        with pytest.raises(httpx.TransportError) as raised:
            await transport.handle_async_request(attempt(content))
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
    assert session.sent["timeout"] == aiohttp.ClientTimeout(sock_connect=1.0, sock_read=2.0, connect=3.0)
    assert session.sent["allow_redirects"] is False
    assert (session.sent["method"], session.sent["url"]) == ("POST", f"{URL_}/a%2Fb?c=%2C")
    assert [value for name, value in session.sent["headers"] if name == "x"] == ["1", "2"]


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
