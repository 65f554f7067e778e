"""Around every request, as plain ASGI: its id in logs and answer, its line in the log, its metric, its body's limit."""

import re
import time
from http import HTTPStatus
from uuid import uuid4

import structlog
from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from app.api.problems import route_of, unexpected_error
from app.client.loop_throttle import LoopThrottle
from app.metrics import Metrics

log = structlog.get_logger(__name__)

MAX_BODY = 256_000
MAX_BODY_BY_PATH = {"/v1/digests/batch": 2_000_000, "/v1/readers/import": 20_000_000}
"""Where bodies may hold more: 500 digests of 4 kB each; readers, in a stream of which little is held."""
PAPERS, MAX_PAPERS_BODY = re.compile(r"/v1/readers/[^/]{1,100}/papers"), 2_000_000
"""500 papers with their abstracts."""
WELL_FORMED_ID = re.compile(r"[\w.-]{1,100}")
CLIENT_CLOSED_REQUEST = 499
"""The status, in logs and metrics alone, of a request whose caller disconnected before the response (nginx's code)."""
UNLOGGED_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked for all the time by machines: not worth a line while they succeed."""


class RequestContext:
    """Gives a request its turn and its id, and tells the log and the metrics how it went, also if it went wrong."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._throttle = LoopThrottle()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._throttle.enter()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if WELL_FORMED_ID.fullmatch(given) else str(uuid4())
        started, exchange = time.perf_counter(), _Exchange(receive, send, request_id)
        with bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, exchange.receive, exchange.send)
            except ClientDisconnect:
                pass  # nobody is left to respond to, and nothing here has failed
            except Exception as error:
                if exchange.response_started:  # no second response can follow half a one: the server logs it and closes
                    raise
                await unexpected_error(scope, error)(scope, exchange.receive, exchange.send)
            finally:
                self._record(scope, exchange.status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's template, never the path: a metric for every id would grow without end.
        route = route_of(scope)
        self._metrics.http_request_duration.labels(scope["method"], route, str(status)).observe(seconds)
        caller = scope.get("state", {}).get("caller")
        # By name: there are as many as the settings hold.
        named = {"caller": caller.name} if caller is not None else {}
        if caller is not None:
            self._metrics.caller_requests.labels(caller.name, str(status)).inc()
        if scope["path"] not in UNLOGGED_PATHS or status >= HTTPStatus.BAD_REQUEST:
            ms = round(seconds * 1000, 1)
            log.info("request", method=scope["method"], route=route, status=status, ms=ms, **named)


class _Exchange:
    """Passes on what the caller and the application send each other, and keeps the status it ended with."""

    def __init__(self, receive: Receive, send: Send, request_id: str) -> None:
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self.response_started = False
        """Whether the response has begun."""
        self.status = HTTPStatus.INTERNAL_SERVER_ERROR.value

    async def receive(self) -> Message:
        """Receive from the caller; a disconnect before the response begins is how the request ended."""
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self.response_started:
            self.status = CLIENT_CLOSED_REQUEST
        return message

    async def send(self, message: Message) -> None:
        """Send to the caller, with the request's id; after a disconnect the server sends nothing."""
        if message["type"] == "http.response.start":
            self.response_started = True
            if self.status != CLIENT_CLOSED_REQUEST:
                self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-ID"] = self._request_id
        await self._send(message)


class BodyLimit:
    """Refuses larger bodies than it allows with 413, however they are sent, when the application reads them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        limit, read = _limit(scope["path"]), 0

        async def counted() -> Message:
            nonlocal read
            if announced.isdigit() and int(announced) > limit:
                raise _too_large(limit)
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise _too_large(limit)
            return message

        await self._app(scope, counted, send)


def _limit(path: str) -> int:
    return MAX_PAPERS_BODY if PAPERS.fullmatch(path) else MAX_BODY_BY_PATH.get(path, MAX_BODY)


def _too_large(limit: int) -> HTTPException:
    """FastAPI takes every other exception that comes while it reads a body for a body that it cannot read."""
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {limit} bytes are read.")
