"""The spans of HTTP clients: one for each request, with its server and status, and nothing that may be secret."""

import re
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest

from app.tracing.current import active_spans
from app.tracing.http_client import PROPAGATED, traced
from tests.support.spans import recorded_spans

URL = "https://user:pass@hooks.example/secret?token=secret"


class Body(httpx.AsyncByteStream):
    """Sends two pieces; the second may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"one"
        if self._error is not None:
            raise self._error
        yield b"two"


class Server(httpx.AsyncBaseTransport):
    """Sends the next of its responses, and keeps the headers of requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.headers: list[httpx.Headers] = []
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.headers.append(request.headers)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        self.closed = True


async def send(server: Server, request: httpx.Request | None = None) -> httpx.Response:
    """Send a request in a recorded trace, read its response and close it, as httpx's client does."""
    spans = active_spans()
    assert spans is not None
    transport = traced(server)
    with spans.server("POST", None):
        response = await transport.handle_async_request(request or httpx.Request("GET", URL))
        try:
            await response.aread()
        finally:
            await response.aclose()
    return response


def test_without_traces_a_transport_stays_as_it_is() -> None:
    server = Server()
    assert traced(server) is server


async def test_a_request_has_its_server_and_no_path() -> None:
    with recorded_spans() as recorded:
        assert (await send(Server(httpx.Response(200, stream=Body())))).content == b"onetwo"
    span = recorded.one("GET")
    assert span.kind == "CLIENT"
    assert span.attributes == {
        "http.request.method": "GET",
        "server.address": "hooks.example",
        "server.port": 443,
        "url.scheme": "https",
        "http.response.status_code": 200,
    }
    assert not span.error


@pytest.mark.parametrize("status", [404, 503])
async def test_a_refusal_is_an_error_with_its_status(status: int) -> None:
    with recorded_spans() as recorded:
        await send(Server(httpx.Response(status, stream=Body())))
    assert (recorded.one("GET").error, recorded.one("GET").attributes["error.type"]) == (True, str(status))


async def test_a_lost_connection_is_an_error_with_its_type() -> None:
    with recorded_spans() as recorded, pytest.raises(httpx.ConnectError):
        await send(Server(httpx.ConnectError("no")))
    assert recorded.one("GET").attributes["error.type"] == "httpx.ConnectError"


async def test_a_body_that_breaks_off_is_an_error() -> None:
    with recorded_spans() as recorded, pytest.raises(httpx.ReadError):
        await send(Server(httpx.Response(200, stream=Body(httpx.ReadError("no")))))
    assert recorded.one("GET").attributes["error.type"] == "httpx.ReadError"


async def test_only_chosen_requests_carry_the_context() -> None:
    chosen = httpx.Request("POST", URL, extensions=dict(PROPAGATED))
    with recorded_spans() as recorded:
        server = Server(httpx.Response(200, stream=Body()), httpx.Response(200, stream=Body()))
        await send(server)
        other = Server(httpx.Response(200, stream=Body()))
        await send(other, chosen)
    assert "traceparent" not in server.headers[0]
    span = next(span for span in recorded.spans if span.name == "POST" and span.kind == "CLIENT")
    assert other.headers[0]["traceparent"] == f"00-{span.trace_id}-{span.span_id}-01"


async def test_the_context_of_an_unrecorded_trace_is_sent_too() -> None:
    """The receiver learns that the trace is not recorded; without a header it would begin another one."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    server = Server(httpx.Response(200))
    with recorded_spans() as recorded:
        spans = active_spans()
        assert spans is not None
        transport = traced(server)
        with spans.process("callback", UUID(int=7), 1, f"00-{trace}-b7ad6b7169203331-00"):
            await transport.handle_async_request(httpx.Request("POST", URL, extensions=dict(PROPAGATED)))
    assert recorded.spans == []
    assert re.fullmatch(f"00-{trace}-[0-9a-f]{{16}}-00", server.headers[0]["traceparent"])


async def test_closing_closes_the_transport() -> None:
    server = Server()
    with recorded_spans():
        await traced(server).aclose()
    assert server.closed
