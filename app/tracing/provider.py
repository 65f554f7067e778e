"""OpenTelemetry's SDK as this service uses it: one provider, one exporter, one thread. Only `export` imports it."""

import os
import time
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from app.tracing.spans import Spans
from app.tracing.trace_ids import derived_trace_id

CLOSE_WITHIN: Final = 2.0
"""Seconds after the end in which the export of a batch may begin."""
EXPORT_TIMEOUT: Final = 4.0
"""Seconds for one export, retries included, unless OTEL_EXPORTER_OTLP_TIMEOUT is set. Both together stay within the
platform's kill timeout, after the grace period."""
_TIMEOUTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")


class TraceIds(RandomIdGenerator):
    """Random ids, or the trace id that is derived from a task's id."""

    def generate_trace_id(self) -> int:
        """Return the id of a new trace."""
        return derived_trace_id() or super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """Return False, because a derived id is not: samplers elsewhere must not rely on it."""
        return False


class Provider:
    """Opens the exporter and its thread. Raises `ValueError` for an invalid variable."""

    def __init__(self, service: str, version: str) -> None:
        self._exporter = _EndingExporter(_otlp())
        self._provider = TracerProvider(
            resource=_resource(service, version), shutdown_on_exit=False, id_generator=TraceIds()
        )
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self.spans = Spans(self._provider.get_tracer("broadsheet", version))

    def close(self) -> None:
        """Send the last spans and end the thread. Blocks: call it when the event loop has ended."""
        self._exporter.end_at(time.monotonic() + CLOSE_WITHIN)
        self._provider.shutdown()


class _EndingExporter(SpanExporter):
    """Drops what remains when the process has had its time to end: the collector may be gone."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._end = float("inf")

    def end_at(self, end: float) -> None:
        """Begin no export after `end`, in the time of `time.monotonic`."""
        self._end = end

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export a batch; called in the exporter's thread."""
        return self._inner.export(spans) if time.monotonic() < self._end else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Close the connection."""
        self._inner.shutdown()


def _otlp() -> OTLPSpanExporter:
    return OTLPSpanExporter() if any(map(os.environ.get, _TIMEOUTS)) else OTLPSpanExporter(timeout=EXPORT_TIMEOUT)


def _resource(service: str, version: str) -> Resource:
    """Return what describes this process. `Resource.create` would detect it in threads."""
    own = {
        "service.name": service,
        "service.version": version,
        "service.namespace": "broadsheet",
        "service.instance.id": str(uuid4()),
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
    }
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
    return Resource(own).merge(OTELResourceDetector().detect())
