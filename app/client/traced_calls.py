"""Writes a span for each attempt of a call to Supabase."""

from http import HTTPStatus

from app.client.call import Call, Response, Transport, TransportLayer
from app.tracing.current import Attribute, active_spans, calling


def traced(transport: Transport) -> Transport:
    """Return `transport` with a span for each attempt; without traces `transport` itself."""
    return transport if active_spans() is None else TracedCalls(transport)


class TracedCalls(TransportLayer):
    """Writes the spans."""

    async def send(self, call: Call) -> Response:
        """Forward `call`; raises the inner transport's errors."""
        attributes = _describe(call)
        with calling(f"{call.method} {attributes['url.template']}", attributes) as span:
            response = await self._inner.send(call)
            span.set({"http.response.status_code": response.status_code})
            if response.status_code >= HTTPStatus.BAD_REQUEST:
                span.fail(str(response.status_code))
        return response


def _describe(call: Call) -> dict[str, Attribute]:
    """Return the attributes of a call: the table or function, never the query, which has values."""
    address = str(call.url.with_query(None))
    _, _, template = address.partition("/rest/v1/")
    attributes: dict[str, Attribute] = {
        "http.request.method": str(call.method),
        "server.address": call.url.host or "",
        "server.port": call.url.port or 0,
        "url.scheme": call.url.scheme,
        "url.full": address,
        "url.template": template,
    }
    return attributes | ({"http.request.resend_count": call.resends} if call.resends else {})
