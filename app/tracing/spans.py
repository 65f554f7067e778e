"""Writes spans by the semantic conventions for messaging, HTTP and GenAI, with OpenTelemetry's public API alone.

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
https://opentelemetry.io/docs/specs/semconv/http/http-spans/
https://opentelemetry.io/docs/specs/semconv/exceptions/
"""

from collections.abc import Mapping, Sequence
from contextvars import Token
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.tracing.current import NO_SPAN, Attribute, SpanScope
from app.tracing.http_client import known_method
from app.tracing.trace_ids import trace_id_from

_FORMAT: Final = TraceContextTextMapPropagator()
_HEADER: Final = "traceparent"
_LENGTH, _MAX_HEADER = 55, 100
"""Characters of version 00 of the format, and how many characters of a header are parsed."""
_NO_CONTEXT: Final = Context()
"""The context of what begins a trace. It is immutable."""
_SYSTEM: Final = "broadsheet"


class ActiveSpan:
    """A span; in a `with` block also the current one. An exception of the block makes it an error."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self._token: Token[Context] | None = None
        self._failed = False

    def __enter__(self) -> Self:
        self._token = attach(set_span_in_context(self.span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            detach(self._token)
        if error is not None:
            self.fail(error_type_of(error))
        self.span.end()

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        """Add attributes."""
        self.span.set_attributes(attributes)

    def fail(self, error_type: str) -> None:
        """Mark the span as an error, with the first type that is reported."""
        if self._failed or not self.span.is_recording():
            return
        self._failed = True
        self.span.set_attribute("error.type", error_type)
        self.span.set_status(StatusCode.ERROR)


def error_type_of(error: BaseException) -> str:
    """Return the type of an error as `error.type`: its text is not recorded, because it may contain an address."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


class Spans:
    """Starts the spans of a process with one tracer, which decides what is recorded."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def server(self, method: str, traceparent: str | None) -> ActiveSpan:
        """Start the span of a request to the API, in a new trace.

        The caller's trace context is a link: a stranger's sampling must not decide ours.
        """
        caller = _span_context(traceparent)
        # Its name becomes "<method> <route>" when the route is known.
        span = self._tracer.start_span(
            known_method(method),
            _NO_CONTEXT,
            SpanKind.SERVER,
            {"http.request.method": known_method(method)},
            [] if caller is None else [Link(caller)],
        )
        return ActiveSpan(span)

    def client(self, name: str, attributes: Mapping[str, Attribute]) -> SpanScope:
        """Return the span of a call to another server; `NO_SPAN` outside a recorded trace."""
        return self.start_client(name, attributes) or NO_SPAN

    def start_client(self, name: str, attributes: Mapping[str, Attribute]) -> ActiveSpan | None:
        """Start the span of a call to another server; None outside a recorded trace.

        Calls that belong to no task or request, such as a worker's polls, are in no trace.
        """
        if not get_current_span().is_recording():
            return None
        return ActiveSpan(self._tracer.start_span(name, None, SpanKind.CLIENT, attributes))

    def send(self, rows: Sequence[dict[str, Any]]) -> ActiveSpan:
        """Start the span that creates tasks, and add the trace context of each to its row.

        A single task continues this trace. Each task of a batch begins one, which links to this span.
        """
        kind = rows[0]["kind"]
        attributes = _messaging(kind, "send")
        attributes |= (
            {"messaging.batch.message_count": len(rows)}
            if len(rows) > 1
            else {"messaging.message.id": rows[0]["task_id"]}
        )
        scope = ActiveSpan(self._tracer.start_span(f"send {kind}", None, SpanKind.PRODUCER, attributes))
        if len(rows) == 1:
            rows[0][_HEADER] = traceparent_of(scope.span)
        else:
            for row in rows:
                row[_HEADER] = self._create(row, scope.span)
        return scope

    def _create(self, row: Mapping[str, Any], batch: Span) -> str | None:
        """Write the span that begins the trace of a task of a batch."""
        attributes = _messaging(row["kind"], "create") | {"messaging.message.id": row["task_id"]}
        links = [Link(batch.get_span_context())]
        span = self._tracer.start_span(f"create {row['kind']}", _NO_CONTEXT, SpanKind.PRODUCER, attributes, links)
        span.end()
        batch.add_link(span.get_span_context())
        return traceparent_of(span)

    def process(self, kind: str, task_id: UUID, attempt: int, trace: str | None) -> ActiveSpan:
        """Start the span of an attempt.

        `trace` is the task's trace context, or else the id of the task that caused it. Without a trace context, the
        trace's id is derived from that id or from `task_id`, so that all attempts and their results are in one trace.
        """
        name, attributes = f"process {kind}", _messaging(kind, "process")
        attributes |= {"messaging.message.id": str(task_id), "broadsheet.task.attempt": attempt}
        # The id of a task is shorter than a context: most tasks of schedules need no parsing.
        cause = _context(trace) if trace is not None and len(trace) >= _LENGTH else _NO_CONTEXT
        if get_current_span(cause).get_span_context().is_valid:
            return ActiveSpan(self._tracer.start_span(name, cause, SpanKind.CONSUMER, attributes))
        with trace_id_from(trace or str(task_id)):
            return ActiveSpan(self._tracer.start_span(name, _NO_CONTEXT, SpanKind.CONSUMER, attributes))


def traceparent_of(span: Span | None = None) -> str | None:
    """Return the W3C `traceparent` of a span, by default the current one; None if there is none."""
    carrier: dict[str, str] = {}
    _FORMAT.inject(carrier, None if span is None else set_span_in_context(span, Context()))
    return carrier.get(_HEADER)


def log_fields() -> dict[str, str]:
    """Return the ids of the current span, for log lines."""
    current = get_current_span().get_span_context()
    if not current.is_valid:
        return {}
    return {"trace_id": format_trace_id(current.trace_id), "span_id": format_span_id(current.span_id)}


def _messaging(kind: str, operation: str) -> dict[str, Attribute]:
    return {
        "messaging.system": _SYSTEM,
        "messaging.destination.name": kind,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }


def _context(traceparent: str | None) -> Context:
    return _FORMAT.extract({_HEADER: (traceparent or "")[:_MAX_HEADER]}, Context())


def _span_context(traceparent: str | None) -> Any:
    """Return the span context of a `traceparent`; None if it is none."""
    if not traceparent:
        return None
    found = get_current_span(_context(traceparent)).get_span_context()
    return found if found.is_valid else None
