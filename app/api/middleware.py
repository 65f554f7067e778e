"""Around every request, as plain ASGI: its id in logs and answer, its line in the log, its metric, its body's limit."""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from structlog.contextvars import bound_contextvars

from app.api.problems import Problem, problem_response
from app.metrics import Metrics
from app.turnstile import Turnstile

log = structlog.get_logger(__name__)

MAX_BODY = 256_000
WELL_FORMED_ID = re.compile(r"[\w.-]{1,100}")
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked for all the time by machines: not worth a line while they succeed."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class RequestContext:
    """Gives a request its turn and its id, and tells the log and the metrics how it went."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._turnstile = Turnstile()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._turnstile.enter()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if WELL_FORMED_ID.fullmatch(given) else str(uuid4())
        started, status = time.perf_counter(), HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                self._tell(scope, status, time.perf_counter() - started)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's template, never the path: a metric for every id would grow without end.
        route = getattr(scope.get("route"), "path", "unknown")
        self._metrics.http_seconds.labels(scope["method"], route, str(status)).observe(seconds)
        if scope["path"] not in QUIET or status >= HTTPStatus.BAD_REQUEST:
            log.info("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 1))


class _TooLarge(Exception):
    pass


class BodyLimit:
    """Refuses bodies over `MAX_BODY` bytes with 413, however they are sent."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY:
                raise _TooLarge
            return message

        try:
            if announced.isdigit() and int(announced) > MAX_BODY:
                raise _TooLarge
            await self._app(scope, counted, send)
        except _TooLarge:
            await problem_response(_too_large(scope["path"]))(scope, receive, send)


def _too_large(path: str) -> Problem:
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return Problem(title="Body too large", status=status, detail=f"At most {MAX_BODY} bytes are read.", instance=path)
