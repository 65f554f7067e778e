"""Spans that a test can read: recorded in memory, without an exporter's thread, and drawn as a tree."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler

from app.tracing.current import using_spans
from app.tracing.provider import TraceIds
from app.tracing.spans import Spans


@dataclass(frozen=True)
class Seen:
    """A span that has ended. Ids are hexadecimal; `links` are the ids of traces."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str | None
    started: int
    attributes: Mapping[str, object] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    error: bool = False
    service: str = ""

    @classmethod
    def of(cls, span: ReadableSpan) -> "Seen":
        context, parent = span.get_span_context(), span.parent
        assert context is not None
        return cls(
            span.name,
            span.kind.name,
            f"{context.trace_id:032x}",
            f"{context.span_id:016x}",
            f"{parent.span_id:016x}" if parent is not None else None,
            span.start_time or 0,
            dict(span.attributes or {}),
            tuple(f"{link.context.trace_id:032x}" for link in span.links),
            span.status.status_code.name == "ERROR",
        )


class Recorded:
    """The spans that have ended, in the order of their ends."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def spans(self) -> list[Seen]:
        return [Seen.of(span) for span in self._exporter.get_finished_spans()]

    def one(self, name: str) -> Seen:
        """The only span with this name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found


@contextmanager
def recorded_spans(sampler: Sampler | None = None) -> Iterator[Recorded]:
    """Trace what the block does; by default all of it."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(
        sampler or ParentBased(ALWAYS_ON), Resource({}), shutdown_on_exit=False, id_generator=TraceIds()
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with using_spans(Spans(provider.get_tracer("test"))):
        yield Recorded(exporter)
    provider.shutdown()


def paths(spans: Sequence[Seen]) -> set[tuple[str, ...]]:
    """The labels from a root to each span. A span whose parent was lost with its process begins with `LOST`."""
    return {_path(span, {each.span_id: each for each in spans}) for span in spans}


LOST = "(lost with its process)"


def label(span: Seen) -> str:
    """The span's name, with an attempt's number and outcome."""
    if "broadsheet.task.attempt" not in span.attributes:
        return span.name
    attempt, outcome = span.attributes["broadsheet.task.attempt"], span.attributes.get("broadsheet.task.outcome")
    return f"{span.name} (attempt {attempt}: {outcome})"


def _path(span: Seen, by_id: Mapping[str, Seen]) -> tuple[str, ...]:
    if span.parent_id is None:
        return (label(span),)
    parent = by_id.get(span.parent_id)
    return (*(_path(parent, by_id) if parent is not None else (LOST,)), label(span))
