"""How HTTP clients write spans: what a request's attributes are, and which requests carry the trace context."""

from typing import Final

import httpx

from app.tracing.current import Attribute, active_spans

PROPAGATED: Final = {"propagate_trace": True}
"""The extension of a request that carries the trace context to its receiver."""

_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})


def traced(transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """Return `transport` with a span for each request; without traces `transport` itself."""
    spans = active_spans()
    if spans is None:
        return transport
    from app.tracing.http_spans import TracedTransport  # noqa: PLC0415  (only with traces)

    return TracedTransport(transport, spans)


def known_method(method: str) -> str:
    """Return a request's method as an attribute: callers can send any word, and the conventions limit the values."""
    return method if method in _METHODS else "_OTHER"


def server_of(url: httpx.URL) -> dict[str, Attribute]:
    """Return the attributes of a server: neither path nor query, because those of callbacks and feeds may be secret."""
    port = url.port or (443 if url.scheme == "https" else 80)
    return {"server.address": url.host, "server.port": port, "url.scheme": url.scheme}
