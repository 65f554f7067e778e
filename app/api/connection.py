"""Limits of a connection: the size of a request's head, and timeouts for receiving requests and sending responses.

uvicorn's httptools protocol has none of them. This subclass adds them in the methods that asyncio and the parser call;
`app/server.py` passes it to uvicorn.
"""

import asyncio
from collections import deque
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar
from uuid import uuid4

import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.api.problems import MEDIA_TYPE, Problem

MAX_HEAD = 65_536
"""Bytes of a request outside its body, such as the headers: the limit that uvicorn has with h11."""

MAX_PIPELINED = 16
"""Pipelined requests on one connection: one read can contain ten thousand, and each needs memory."""

ON_STOP = "on_stop"
"""Key of the lifespan's function that is called when the server starts to stop, before it waits for requests."""

EXTEND_REQUEST = "extend_request"
"""Key of the request's state: a function that gives the request more seconds to arrive, counted from now."""

SEPARATORS = len(b": \r\n")

log = structlog.get_logger(__name__)


class _Refused(Exception):
    """Stops the parser in the middle of its input."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection, which ends whatever the caller sends or does not read.

    A request must be complete `request_timeout` seconds after its first byte (or the connection's start), unless its
    route extends that. A response must be read `response_timeout` seconds after its buffer was full. After a refusal,
    further input is discarded for `linger` seconds, so that the caller can read the refusal: closing at once resets the
    connection.
    """

    request_timeout: ClassVar[float] = 30.0
    response_timeout: ClassVar[float] = 60.0
    linger: ClassVar[float] = 1.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._request_timer: asyncio.TimerHandle | None = None
        self._response_timer: asyncio.TimerHandle | None = None
        self._seconds = self.request_timeout
        self._unparsed = 0
        self._in_request = False
        self._in_head = False
        self._refused = False
        self._pending: deque[RequestResponseCycle] = deque()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # (as uvicorn has it)
        """Handle a new connection."""
        super().connection_made(transport)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the connection."""
        super().connection_lost(exc)
        self._disconnect()
        for timer in (self._request_timer, self._response_timer):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse received bytes."""
        if self._refused:
            return
        if self._request_timer is None:
            self._expect_request()
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD:
            self._refuse_large_head()

    def on_message_begin(self) -> None:
        """Handle a request's first byte."""
        super().on_message_begin()
        self._in_request = self._in_head = True
        if self._request_timer is None:
            self._expect_request()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Handle a header; trailers are ignored."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Handle the end of the head."""
        self._unparsed = 0
        head = len(self.url) + sum(len(name) + len(value) + SEPARATORS for name, value in self.headers)
        if head > MAX_HEAD:
            self._refuse_large_head()
            raise _Refused
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, f"More than {MAX_PIPELINED} requests wait on one connection.")
            raise _Refused
        super().on_headers_complete()
        self.scope["state"][EXTEND_REQUEST] = partial(self._extend_request, self.cycle)
        self._in_head = False
        self._pending.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        """Handle a part of the body."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Handle the end of the request."""
        self._unparsed = 0
        self._in_request = False
        super().on_message_complete()
        self._forget_request()
        if self.cycle.response_complete:  # the response ended before the request did: uvicorn would wait for ever
            self._expect_request()

    def on_response_complete(self) -> None:
        """Handle the end of the response."""
        self._pending.popleft()  # responses on one connection follow the order of the requests
        if self._in_request and self.cycle.response_complete and self._seconds != self.request_timeout:
            # The route that needed more time has refused the rest of the body.
            self._extend_request(self.cycle, self.request_timeout)
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_later()

    def send_400_response(self, msg: str) -> None:
        """Refuse input that the parser cannot parse."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def shutdown(self) -> None:
        """Stop: refuse incomplete requests and end all waits for tasks."""
        if ON_STOP in self.app_state:
            self.app_state[ON_STOP]()
        if self._in_request and not self._responding:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "This server is stopping: send the request again.")
        super().shutdown()
        if self.transport.is_closing():
            self._abort_later()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        super().timeout_keep_alive_handler()
        self._abort_later()

    def pause_writing(self) -> None:
        """Start the response timeout: the caller reads more slowly than the application writes."""
        super().pause_writing()
        self._response_timer = self.loop.call_later(self.response_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the response timeout: the caller has read."""
        super().resume_writing()
        if self._response_timer is not None:
            self._response_timer.cancel()

    @property
    def _responding(self) -> bool:
        """Whether a complete request waits for its response, or a response has started."""
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]  # (None at first)
            return False
        return bool(self.pipeline) or self.cycle.response_started or not self.cycle.more_body

    def _expect_request(self, seconds: float | None = None) -> None:
        self._seconds = self.request_timeout if seconds is None else seconds
        self._request_timer = self.loop.call_later(self._seconds, self._request_overdue)

    def _extend_request(self, cycle: RequestResponseCycle, seconds: float) -> None:
        """Give the request more time; called by a route that accepts large bodies. Not for a complete request."""
        if cycle is self.cycle and self._in_request and self._request_timer is not None:
            self._request_timer.cancel()
            self._expect_request(seconds)

    def _forget_request(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _request_overdue(self) -> None:
        if self.flow.read_paused:  # reading is paused because an earlier request is still being processed
            self._expect_request()
            return
        detail = f"The request was not complete after {self._seconds:g} s."
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, detail)

    def _refuse_large_head(self) -> None:
        detail = f"The request's head has more than {MAX_HEAD} bytes."
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Respond with an error if a request has started and no other response is in progress; then close."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._forget_request()
        may_respond = self._in_request and not self._responding and (self._in_head or not self.cycle.response_complete)
        self._disconnect()
        if may_respond:
            self._respond(status, detail)
        else:
            self.transport.close()
        self._abort_later()

    def _respond(self, status: HTTPStatus, detail: str) -> None:
        request_id = str(uuid4())
        log.info("request refused", status=status.value, detail=detail, request_id=request_id)
        self.transport.write(_refusal(status, detail, request_id))
        self.transport.write_eof()

    def _disconnect(self) -> None:
        """Report the disconnect to all pending requests; uvicorn reports it only to the newest one."""
        for cycle in self._pending:
            cycle.disconnected = True
            cycle.message_event.set()

    def _abort_later(self) -> None:
        self.loop.call_later(self.linger, self.transport.abort)


def _refusal(status: HTTPStatus, detail: str, request_id: str) -> bytes:
    body = Problem(title=status.phrase, status=status, detail=detail).model_dump_json(exclude_none=True).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        f"x-request-id: {request_id}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
