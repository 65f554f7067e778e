"""Connections that send too much, too slowly, or never read are closed, and others are served meanwhile."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from fastapi.responses import StreamingResponse

from app.api.connection import MAX_HEAD, MAX_PIPELINED, BoundedProtocol
from tests.support.running_api import KEY, HastyProtocol, Raw, RunningApi

START = b"GET /healthz HTTP/1.1\r\nhost: api\r\n"
POST = (
    b"POST /v1/fetches HTTP/1.1\r\nhost: api\r\nx-api-key: " + KEY.encode() + b"\r\ncontent-type: application/json\r\n"
)


@pytest.fixture
def keep_alive() -> int:
    """Seconds: these tests wait until connections have ended."""
    return 1


@pytest.fixture
def protocol() -> type[BoundedProtocol]:
    return HastyProtocol


def response_in(data: bytes) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body of the only response in `data`."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert int(headers["content-length"]) == len(body)
    return int(first.split()[1]), headers, json.loads(body)


def assert_refused(data: bytes, status: int) -> None:
    found, headers, body = response_in(data)
    assert (found, body["status"]) == (status, status)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-request-id"]


@pytest.mark.parametrize(
    "endless",
    [b"a: b\r\n" * 3000, b"x" * 18_000, b"a: " + b"y" * 18_000],
    ids=["headers", "one header's name", "one header's value"],
)
async def test_an_endless_header_section_is_refused(endless: bytes, api: RunningApi) -> None:
    async with api.connected() as raw:
        await raw.send(START + endless * 12)
        assert_refused(await raw.rest(), 431)
    await api.until_gone()


async def test_a_header_section_over_the_limit_is_refused(api: RunningApi) -> None:
    async with api.connected() as raw:
        await raw.send(START + b"a: " + b"y" * MAX_HEAD + b"\r\n\r\n")
        assert_refused(await raw.rest(), 431)
    async with api.connected() as raw:
        await raw.send(START + b"connection: close\r\na: " + b"y" * (MAX_HEAD - 200) + b"\r\n\r\n")
        assert response_in(await raw.rest())[0] == 200


async def test_endless_trailers_are_refused_and_are_no_headers(api: RunningApi) -> None:
    async with api.connected() as raw:
        await raw.send(POST + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + b"t: " + b"z" * 6 * MAX_HEAD)
        assert_refused(await raw.rest(), 431)
    unkeyed = POST.replace(b"x-api-key: " + KEY.encode() + b"\r\n", b"")
    async with api.connected() as raw:
        chunks = b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-api-key: " + KEY.encode() + b"\r\n\r\n"
        await raw.send(unkeyed + chunks)
        assert response_in(await raw.rest())[0] == 401


@pytest.mark.parametrize("sent", [b"G", START, START + b"a: b"], ids=repr)
async def test_an_incomplete_header_section_times_out(sent: bytes, api: RunningApi) -> None:
    async with api.connected() as raw:
        await raw.send(sent)
        assert_refused(await raw.rest(), 408)


@pytest.mark.parametrize("sent", [b"", b"\r\n"], ids=["nothing", "an empty line"])
async def test_a_silent_connection_is_closed(sent: bytes, api: RunningApi) -> None:
    async with api.connected() as raw:
        await raw.send(sent)
        assert await raw.rest() == b""


async def test_a_slow_body_times_out(api: RunningApi) -> None:
    async with api.connected() as raw:
        await raw.send(POST + b"content-length: 1000\r\n\r\n")

        async def drip() -> None:
            while True:
                await raw.send(b" ")
                await asyncio.sleep(0.01)

        slow_body = asyncio.create_task(drip())
        assert_refused(await raw.rest(), 408)
        slow_body.cancel()
    await api.until_gone()


async def test_a_slow_body_after_a_response_times_out(api: RunningApi) -> None:
    async with api.connected() as raw:
        await raw.send(b"POST /v1/fetches HTTP/1.1\r\nhost: api\r\ncontent-length: 1000\r\n\r\n ")
        assert response_in(await raw.rest())[0] == 401


async def test_a_kept_connection_after_an_early_response_times_out(api: RunningApi) -> None:
    """uvicorn alone waits without limit for the next request when a body's end arrives after the response."""
    async with api.connected() as raw:
        await raw.send(b"POST /v1/fetches HTTP/1.1\r\nhost: api\r\ncontent-length: 2\r\n\r\n")
        assert (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401")
        await raw.send(b"{}")
        await raw.rest()
    await api.until_gone()


async def test_a_second_request_on_a_connection_has_its_own_deadline(api: RunningApi) -> None:
    async with api.connected() as raw:
        await raw.send(START + b"\r\n")
        await raw.reader.readuntil(b'{"status":"ok"}')
        await raw.send(START)
        assert_refused(await raw.rest(), 408)


@pytest.mark.parametrize("pieces", [1, 300], ids=["an answer in one piece", "a stream"])
async def test_a_client_that_never_reads_is_disconnected(pieces: int, api: RunningApi) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield b"x" * (30_000_000 // pieces)

    async def large() -> StreamingResponse:
        return StreamingResponse(stream())

    api.app.add_api_route("/large", large)
    async with api.connected(buffer=4096) as raw:
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a socket's
        await raw.send(b"GET /large HTTP/1.1\r\nhost: api\r\n\r\n")
        while not api.connections:
            await asyncio.sleep(0.01)
        await api.until_gone()


async def test_an_empty_line_does_not_keep_the_connection(api: RunningApi) -> None:
    async with api.connected() as raw:
        await raw.send(START + b"\r\n")
        await raw.reader.readuntil(b'{"status":"ok"}')
        await raw.send(b"\r\n")
        assert await raw.rest() == b""


async def test_a_slow_request_does_not_time_out_the_next_one(api: RunningApi) -> None:
    async def slow() -> dict[str, str]:
        await asyncio.sleep(3 * HastyProtocol.request_timeout)
        return {"slow": "yes"}

    api.app.add_api_route("/slow", slow)
    async with api.connected() as raw:
        await raw.send(
            b"GET /slow HTTP/1.1\r\nhost: api\r\n\r\n" + POST + b"connection: close\r\ncontent-length: 1\r\n\r\n"
        )
        await asyncio.sleep(0.1)
        await raw.send(b"!")
        output = await raw.rest()
    assert output.index(b"HTTP/1.1 200 OK") < output.index(b"slow") < output.index(b"HTTP/1.1 422 ")


async def test_pipelined_requests_are_limited_per_connection(api: RunningApi) -> None:
    async with api.connected() as raw:
        raw.writer.write(b"GET /healthz HTTP/1.1\r\n\r\n" * 10_000)
        with suppress(ConnectionResetError):
            await raw.rest()
    await api.until_gone()
    assert api.server.server_state.total_requests <= MAX_PIPELINED


async def test_pipelined_requests_are_answered_in_order(api: RunningApi) -> None:
    async with api.connected() as raw:
        await raw.send(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\nconnection: close\r\n\r\n")
        output = await raw.rest()
    assert output.index(b'"/a"') < output.index(b'"/b"') < output.index(b'"/c"')


@pytest.mark.parametrize("ending", [b"GARBAGE\r\n\r\n", None], ids=["nonsense behind it", "the caller hangs up"])
async def test_lost_pipelined_requests_log_no_error(
    ending: bytes | None, api: RunningApi, caplog: pytest.LogCaptureFixture
) -> None:
    begun = asyncio.Event()

    async def late() -> dict[str, str]:
        begun.set()
        await asyncio.sleep(0.3)
        return {"late": "yes"}

    api.app.add_api_route("/late", late)
    async with api.connected() as raw:
        await raw.send(b"GET /late HTTP/1.1\r\nhost: api\r\n\r\n" * 2 + (ending or b""))
        await begun.wait()
        if ending is not None:
            assert await raw.rest() == b""
    await api.until_gone()
    while api.server.server_state.tasks:
        await asyncio.sleep(0.01)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_refused_request_gets_one_response(api: RunningApi, caplog: pytest.LogCaptureFixture) -> None:
    async def late() -> dict[str, str]:
        await asyncio.sleep(HastyProtocol.request_timeout + HastyProtocol.linger / 2)
        return {"late": "yes"}

    api.app.add_api_route("/late", late)
    async with api.connected() as raw:
        await raw.send(b"GET /late HTTP/1.1\r\nhost: api\r\ncontent-length: 10\r\n\r\n")
        assert_refused(await raw.rest(), 408)
        await api.until_gone()
    while api.server.server_state.tasks:
        await asyncio.sleep(0.01)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "nonsense",
    [b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET \0 HTTP/1.1\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n"],
    ids=repr,
)
async def test_invalid_http_gets_a_problem_document(nonsense: bytes, api: RunningApi) -> None:
    async with api.connected() as raw:
        await raw.send(nonsense)
        assert_refused(await raw.rest(), 400)


async def test_an_upgrade_does_not_avoid_the_deadlines(api: RunningApi) -> None:
    upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n\r\n"
    async with api.connected() as raw:
        await raw.send(START + upgrade)
        assert (await raw.rest()).startswith(b"HTTP/1.1 200 OK")


async def test_others_are_served_while_a_hundred_connections_stall(api: RunningApi) -> None:
    async def stall() -> bytes:
        async with api.connected() as raw:
            await raw.send(START)
            return await Raw.rest(raw)

    stalled = [asyncio.create_task(stall()) for _ in range(100)]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False) as http:
        while not all(task.done() for task in stalled):
            assert (await http.get("/healthz", timeout=2)).status_code == 200
    for output in await asyncio.gather(*stalled):
        assert_refused(output, 408)
