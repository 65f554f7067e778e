"""Writes a span for each request, with the route's template and never the path: it may contain a reader's token."""

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware import UNLOGGED_PATHS
from app.api.problems import route_of
from app.tracing.current import active_spans, using_spans
from app.tracing.http_client import known_method

if TYPE_CHECKING:
    from app.tracing.spans import ActiveSpan, Spans


def trace_requests(app: FastAPI) -> None:
    """Add the spans around all other middleware; nothing in a process without traces."""
    spans = active_spans()
    if spans is not None:
        app.add_middleware(RequestSpans, spans=spans)


class RequestSpans:
    """Starts a trace for each request, except those of monitoring."""

    def __init__(self, app: ASGIApp, spans: "Spans") -> None:
        self._app = app
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] != "http" or scope["path"] in UNLOGGED_PATHS:
            await self._app(scope, receive, send)
            return
        status: int | None = None

        async def record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        # The server's tasks do not have the context in which the process started.
        traceparent = Headers(scope=scope).get("traceparent")
        with using_spans(self._spans), self._spans.server(scope["method"], traceparent) as span:
            try:
                await self._app(scope, receive, record_status)
            finally:
                _describe(span, scope, status)


def _describe(span: "ActiveSpan", scope: Scope, status: int | None) -> None:
    span.set({"url.scheme": scope["scheme"]})
    if scope.get("route") is not None:
        span.set({"http.route": route_of(scope)})
        span.span.update_name(f"{known_method(scope['method'])} {route_of(scope)}")
    if status is None:
        return
    span.set({"http.response.status_code": status})
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.fail(str(status))
