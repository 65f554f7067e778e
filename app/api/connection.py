"""What a connection may take of the API: a bound on a request's head, and deadlines for what is sent and what is read.

uvicorn's httptools protocol has neither. This one adds them in the methods that asyncio and the parser call on it;
`app/__main__.py` hands it to uvicorn.
"""

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Any, ClassVar
from uuid import uuid4

import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.api.problems import MEDIA_TYPE, Problem

MAX_HEAD = 65_536
"""Bytes of a request before its body, and of anything else in it that is no body: what uvicorn allows with h11."""

MAX_PIPELINED = 16
"""Requests that may wait on one connection: what one read brings can hold ten thousand, and each costs memory."""

ON_STOP = "on_stop"
"""Where the lifespan puts what is called when the server begins to stop, before it waits for requests."""

SEPARATORS = len(b": \r\n")

log = structlog.get_logger(__name__)


class _Refused(Exception):
    """Stops the parser in the middle of what it was fed."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Whatever it sends or does not read, it ends.

    A request must have arrived `request_timeout` seconds after its first byte (or the connection's beginning), and an
    answer must have been read `response_timeout` seconds after it was found to be waiting. After a refusal what still
    comes is thrown away for `linger` seconds, so that the refusal is read: closing at once would reset the connection.
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
        self._unparsed = 0
        self._in_request = False
        self._in_head = False
        self._refused = False
        self._pending: deque[RequestResponseCycle] = deque()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # (as uvicorn has it)
        """A caller has connected."""
        super().connection_made(transport)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, whoever ended it."""
        super().connection_lost(exc)
        self._disconnect()
        for timer in (self._request_timer, self._response_timer):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._refused:
            return
        if self._request_timer is None:
            self._expect_request()
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD:
            self._refuse_large_head()

    def on_message_begin(self) -> None:
        """The parser has found a request's first byte."""
        super().on_message_begin()
        self._in_request = self._in_head = True
        if self._request_timer is None:
            self._expect_request()

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser has found a header, or a trailer, which nobody here reads."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The parser has found the head's end."""
        self._unparsed = 0
        head = len(self.url) + sum(len(name) + len(value) + SEPARATORS for name, value in self.headers)
        if head > MAX_HEAD:
            self._refuse_large_head()
            raise _Refused
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, f"At most {MAX_PIPELINED} requests wait on one connection.")
            raise _Refused
        super().on_headers_complete()
        self._in_head = False
        self._pending.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        """The parser has found a piece of the body."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The parser has found the request's end."""
        self._unparsed = 0
        self._in_request = False
        super().on_message_complete()
        self._forget_request()
        if self.cycle.response_complete:  # it was answered before its end: uvicorn waits for the next one for ever
            self._expect_request()

    def on_response_complete(self) -> None:
        """The application has answered."""
        self._pending.popleft()  # requests on one connection are answered in their order
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_later()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser does not understand."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def shutdown(self) -> None:
        """The server stops: what was not wholly received is not waited for, and nobody waits for a task any longer."""
        if ON_STOP in self.app_state:
            self.app_state[ON_STOP]()
        if self._in_request and not self._responding:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "This server is stopping: send the request again.")
        super().shutdown()
        if self.transport.is_closing():
            self._abort_later()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for a while after an answer."""
        super().timeout_keep_alive_handler()
        self._abort_later()

    def pause_writing(self) -> None:
        """The caller does not read as fast as it is answered."""
        super().pause_writing()
        self._response_timer = self.loop.call_later(self.response_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """The caller has read."""
        super().resume_writing()
        if self._response_timer is not None:
            self._response_timer.cancel()

    @property
    def _responding(self) -> bool:
        """Whether a request that came whole waits for its answer, or an answer is on its way."""
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]  # (None at first)
            return False
        return bool(self.pipeline) or self.cycle.response_started or not self.cycle.more_body

    def _expect_request(self) -> None:
        self._request_timer = self.loop.call_later(self.request_timeout, self._request_overdue)

    def _forget_request(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _request_overdue(self) -> None:
        if self.flow.read_paused:  # the rest is not read because what came before is still being worked on
            self._expect_request()
            return
        detail = f"The request had not arrived after {self.request_timeout:g} s."
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, detail)

    def _refuse_large_head(self) -> None:
        detail = f"At most {MAX_HEAD} bytes are read before a request's body."
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer if nothing else is being answered and a request has begun, then end the connection."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._forget_request()
        may_answer = self._in_request and not self._responding and (self._in_head or not self.cycle.response_complete)
        self._disconnect()
        if may_answer:
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
        """Tell the application that it has nobody to answer; uvicorn tells it of the newest request alone."""
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
