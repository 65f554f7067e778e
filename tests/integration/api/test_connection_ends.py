"""The effect of a connection's end on its requests, and exact limits in every order of events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
import uvicorn
from fastapi import Request
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from app.api.connection import MAX_HEAD, ON_STOP, BoundedProtocol
from tests.support.running_api import HastyProtocol, RunningApi

GET = b"GET %s HTTP/1.1\r\nhost: api\r\n\r\n"


@pytest.fixture
def protocol() -> type[BoundedProtocol]:
    return HastyProtocol


class Recorder(asyncio.Transport):
    """The transport of a protocol that is called without a network."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def write_eof(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@pytest.fixture
async def recorded() -> AsyncIterator[tuple[BoundedProtocol, Recorder, list[str]]]:
    """A connection, what is written to it, and the paths of the requests that reach the application."""
    reached: list[str] = []

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(application, ws="none", log_config=None, access_log=False)
    config.load()
    protocol, transport = BoundedProtocol(config, ServerState(), {}, asyncio.get_running_loop()), Recorder()
    protocol.connection_made(transport)
    yield protocol, transport, reached
    protocol.connection_lost(None)


def head(size: int) -> bytes:
    """A request's header section without its end, of this many bytes."""
    begin = b"GET /a HTTP/1.1\r\na: "
    return begin + b"y" * (size - len(begin))


async def test_a_header_section_in_chunks_has_an_exact_limit(
    recorded: tuple[BoundedProtocol, Recorder, list[str]],
) -> None:
    protocol, transport, reached = recorded
    for _ in range(2):
        for piece in (head(MAX_HEAD)[:100], head(MAX_HEAD)[100:]):
            protocol.data_received(piece)
        assert transport.written.count(b"HTTP/1.1 431") == 0
        protocol.data_received(b"\r\n\r\n")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert (reached, transport.written.count(b"HTTP/1.1 204")) == (["/a", "/a"], 2)
    protocol.data_received(head(MAX_HEAD + 1))
    assert b"HTTP/1.1 431" in transport.written


@pytest.mark.parametrize("more", [0, 1])
async def test_a_header_section_in_one_packet_has_the_same_limit(
    more: int, recorded: tuple[BoundedProtocol, Recorder, list[str]]
) -> None:
    protocol, transport, _reached = recorded
    beside = len(b"GET ") + len(b" HTTP/1.1\r\n") + len(b"\r\n")
    protocol.data_received(head(MAX_HEAD + more + beside - 4) + b"\r\n\r\n")
    assert (b"HTTP/1.1 431" in transport.written) is bool(more)
    await asyncio.sleep(0)


def add_disconnect_route(api: RunningApi) -> tuple[asyncio.Event, list[str]]:
    """Add a route that responds only after its caller has disconnected; it reports requests and disconnects."""
    begun: asyncio.Event = asyncio.Event()
    heard: list[str] = []

    async def waits(name: str, request: Request) -> None:
        begun.set()
        while (await request.receive())["type"] != "http.disconnect":
            pass
        heard.append(name)

    api.app.add_api_route("/waits/{name}", waits)
    return begun, heard


@pytest.mark.parametrize("ending", [b"GARBAGE\r\n\r\n", None], ids=["nonsense behind it", "the caller hangs up"])
async def test_the_oldest_pipelined_request_gets_the_disconnect(ending: bytes | None, api: RunningApi) -> None:
    begun, heard = add_disconnect_route(api)
    async with api.connected() as raw:
        await raw.send(GET % b"/waits/first" + GET % b"/waits/second" + (ending or b""))
        await begun.wait()
        if ending is not None:
            assert await raw.rest() == b""
    await api.until_gone()
    async with asyncio.timeout(10):
        while "first" not in heard:
            await asyncio.sleep(0.01)


async def test_an_incomplete_pipelined_request_times_out(api: RunningApi) -> None:
    async with api.connected() as raw:
        await raw.send(GET % b"/healthz" + b"GET /healthz HTTP/1.1\r\nhost:")
        output = await raw.rest()
    assert output.index(b"HTTP/1.1 200 OK") < output.index(b"HTTP/1.1 408 ")


async def test_a_complete_request_has_no_deadline(api: RunningApi) -> None:
    async def slow() -> dict[str, str]:
        await asyncio.sleep(2 * HastyProtocol.request_timeout)
        return {"slow": "yes"}

    api.app.add_api_route("/slow", slow)
    async with api.connected() as raw:
        await raw.send(b"GET /slow HTTP/1.1\r\nconnection: close\r\n\r\n")
        assert (await raw.rest()).endswith(b'{"slow":"yes"}')


REFUSED: list[tuple[bytes, int, str, str]] = [
    (b"GARBAGE\r\n\r\n", 400, "Bad Request", "Invalid HTTP request received."),
    (b"GET /a HTTP/1.1\r\na", 408, "Request Timeout", "The request was not complete after 0.4 s."),
    (
        head(MAX_HEAD + 1),
        431,
        "Request Header Fields Too Large",
        f"The request's head has more than {MAX_HEAD} bytes.",
    ),
]


@pytest.mark.parametrize(("sent", "status", "title", "detail"), REFUSED, ids=lambda each: str(each)[:20])
async def test_a_refusal_has_one_id_in_response_and_log(
    sent: bytes, status: int, title: str, detail: str, api: RunningApi
) -> None:
    with capture_logs() as logs:
        async with api.connected() as raw:
            with suppress(ConnectionError):
                await raw.send(sent)
            first, _, body = (await raw.rest()).partition(b"\r\n\r\n")
        await api.until_gone()
    line, *headers = first.decode().split("\r\n")
    assert line == f"HTTP/1.1 {status} {title}"
    found = dict(header.split(": ") for header in headers)
    (record,) = [each for each in logs if each["event"] == "request refused"]
    assert UUID(record["request_id"]).version == 4
    assert found == {
        "content-type": "application/problem+json",
        "content-length": str(len(body)),
        "x-request-id": record["request_id"],
        "connection": "close",
    }
    assert json.loads(body) == {"type": "about:blank", "title": title, "status": status, "detail": detail}
    assert (record["log_level"], record["status"], record["detail"]) == ("info", status, detail)


def test_limits_of_a_connection_in_production() -> None:
    assert (BoundedProtocol.request_timeout, BoundedProtocol.response_timeout, BoundedProtocol.linger) == (30, 60, 1)


@pytest.mark.parametrize(
    ("sent", "refused"),
    [(b"GET /a HTTP/1.1\r\na: b", True), (b"POST /a HTTP/1.1\r\ncontent-length: 9\r\n\r\n", True), (b"", False)],
    ids=["half a head", "a head without its body", "nothing"],
)
async def test_a_shutdown_refuses_incomplete_requests(sent: bytes, refused: bool) -> None:
    stopped: list[str] = []

    async def application(_scope: Any, receive: Any, _send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    config = uvicorn.Config(application, ws="none", log_config=None, access_log=False)
    config.load()
    state = {ON_STOP: lambda: stopped.append("stopped")}
    protocol, transport = BoundedProtocol(config, ServerState(), state, asyncio.get_running_loop()), Recorder()
    protocol.connection_made(transport)
    protocol.data_received(sent)
    protocol.shutdown()
    assert (stopped, transport.closed) == (["stopped"], True)
    if refused:
        output = transport.written.partition(b"\r\n\r\n")
        assert output[0].startswith(b"HTTP/1.1 503 Service Unavailable")
        assert json.loads(output[2])["detail"] == "This server is stopping: send the request again."
    else:
        assert transport.written == b""
    protocol.connection_lost(None)


async def test_a_response_waits_for_a_slow_reader(
    recorded: tuple[BoundedProtocol, Recorder, list[str]],
) -> None:
    protocol, transport, reached = recorded
    protocol.pause_writing()
    protocol.data_received(GET % b"/a")
    for _ in range(5):
        await asyncio.sleep(0)
    assert (reached, transport.written) == (["/a"], b"")
    protocol.resume_writing()
    for _ in range(5):
        await asyncio.sleep(0)
    assert transport.written.startswith(b"HTTP/1.1 204")
