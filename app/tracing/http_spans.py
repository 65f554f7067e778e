"""Writes a CLIENT span for each request of an HTTP client, and sends `traceparent` where the request asks for it."""

from collections.abc import AsyncIterator
from http import HTTPStatus

import httpx

from app.tracing.http_client import known_method, server_of
from app.tracing.spans import ActiveSpan, Spans, error_type_of, traceparent_of


class TracedTransport(httpx.AsyncBaseTransport):
    """Writes a span for each request, from its start until its response is read or closed."""

    def __init__(self, inner: httpx.AsyncBaseTransport, spans: Spans) -> None:
        self._inner = inner
        self._spans = spans

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Forward `request`; raises the inner transport's errors."""
        span = self._start(request)
        if request.extensions.get("propagate_trace"):
            traceparent = traceparent_of(None if span is None else span.span)
            if traceparent is not None:
                request.headers["traceparent"] = traceparent
        if span is None:
            return await self._inner.handle_async_request(request)
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            _end(span, error)
            raise
        _describe_response(span, response)
        if isinstance(response.stream, httpx.ByteStream):
            span.span.end()
        elif isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _TracedBody(response.stream, span)
        return response

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()

    def _start(self, request: httpx.Request) -> ActiveSpan | None:
        method = known_method(request.method)
        return self._spans.start_client(method, {"http.request.method": method, **server_of(request.url)})


class _TracedBody(httpx.AsyncByteStream):
    """The body of a response, whose end ends the span."""

    def __init__(self, inner: httpx.AsyncByteStream, span: ActiveSpan) -> None:
        self._inner = inner
        self._span = span

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._inner:
                yield piece
        except BaseException as error:
            self._span.fail(error_type_of(error))
            raise

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._span.span.end()


def _describe_response(span: ActiveSpan, response: httpx.Response) -> None:
    span.set({"http.response.status_code": response.status_code})
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        span.fail(str(response.status_code))


def _end(span: ActiveSpan, error: BaseException) -> None:
    span.fail(error_type_of(error))
    span.span.end()
