"""ASGI middleware for every request: the request id, the log line, the metric and the limit of the body."""

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

from app.api.library_types import is_library, media_type_of
from app.api.problems import route_of, unexpected_error
from app.client.loop_throttle import LoopThrottle
from app.imports.entries import MAX_BYTES
from app.process.metrics import Metrics

log = structlog.get_logger(__name__)

MAX_BODY = 256_000
MAX_BODY_BY_PATH = {"/v1/digests/batch": 2_000_000, "/v1/readers/import": 20_000_000}
"""Paths with a larger limit: 500 digests of 4 kB each; an import of readers, which is read as a stream."""
PAPERS, MAX_PAPERS_BODY = re.compile(r"/v1/readers/[^/]{1,100}/papers"), 2_000_000
"""Bytes; 500 papers with abstracts. A library at this path is read as a stream, up to `MAX_BYTES`."""
IMPORT_FORM, MAX_FORM_PARTS = re.compile(r"/r/home/[^/]{1,300}/import"), 20_000
"""The form with a library, which is read as a stream, and the bytes of its parts besides the file."""
WELL_FORMED_ID = re.compile(r"[\w.-]{1,100}")
CLIENT_CLOSED_REQUEST = 499
"""The status, only in logs and metrics, of a request whose caller disconnected before the response (nginx's code)."""
UNLOGGED_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Monitoring requests these paths all the time: successful requests are not logged."""


class RequestContext:
    """Throttles a request, gives it an id, and records its outcome, errors included, in the log and the metrics."""

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
        sent_id = Headers(scope=scope).get("x-request-id", "")
        request_id = sent_id if WELL_FORMED_ID.fullmatch(sent_id) else str(uuid4())
        started, exchange = time.perf_counter(), _Exchange(receive, send, request_id)
        with bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, exchange.receive, exchange.send)
            except ClientDisconnect:
                pass  # the caller is gone, and nothing here has failed
            except Exception as error:
                if (
                    exchange.response_started
                ):  # a second response cannot follow half of one: the server logs the error and closes
                    raise
                await unexpected_error(scope, error)(scope, exchange.receive, exchange.send)
            finally:
                self._record(scope, exchange.status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's template, never the path: one metric for each id would grow without limit.
        route = route_of(scope)
        self._metrics.http_request_duration.labels(scope["method"], route, str(status)).observe(seconds)
        caller = scope.get("state", {}).get("caller")
        # Callers' names are safe as labels: the settings limit their number.
        caller_field = {"caller": caller.name} if caller is not None else {}
        if caller is not None:
            self._metrics.caller_requests.labels(caller.name, str(status)).inc()
        if scope["path"] not in UNLOGGED_PATHS or status >= HTTPStatus.BAD_REQUEST:
            ms = round(seconds * 1000, 1)
            log.info("request", method=scope["method"], route=route, status=status, ms=ms, **caller_field)


class _Exchange:
    """Forwards messages between the caller and the application, and keeps the final status."""

    def __init__(self, receive: Receive, send: Send, request_id: str) -> None:
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self.response_started = False
        """Whether the response has started."""
        self.status = HTTPStatus.INTERNAL_SERVER_ERROR.value

    async def receive(self) -> Message:
        """Receive from the caller; a disconnect before the response starts sets the status."""
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self.response_started:
            self.status = CLIENT_CLOSED_REQUEST
        return message

    async def send(self, message: Message) -> None:
        """Send to the caller, with the request id; after a disconnect the server sends nothing."""
        if message["type"] == "http.response.start":
            self.response_started = True
            if self.status != CLIENT_CLOSED_REQUEST:
                self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-ID"] = self._request_id
        await self._send(message)


class BodyLimit:
    """Responds with 413 when the application reads a body that is too large, with or without a Content-Length."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        content_length = Headers(scope=scope).get("content-length", "0")
        limit, received = _limit(scope["path"], Headers(scope=scope).get("content-type", "")), 0

        async def limited_receive() -> Message:
            nonlocal received
            if content_length.isdigit() and int(content_length) > limit:
                raise _too_large(limit)
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            return message

        await self._app(scope, limited_receive, send)


def _limit(path: str, content_type: str) -> int:
    if PAPERS.fullmatch(path):
        return MAX_BYTES if is_library(media_type_of(content_type)) else MAX_PAPERS_BODY
    if IMPORT_FORM.fullmatch(path):
        return MAX_BYTES + MAX_FORM_PARTS
    return MAX_BODY_BY_PATH.get(path, MAX_BODY)


def _too_large(limit: int) -> HTTPException:
    """An HTTPException, because FastAPI reports every other exception during reading as an unreadable body."""
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body has more than {limit} bytes.")
