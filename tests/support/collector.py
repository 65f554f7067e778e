"""A collector of traces on loopback: receives OTLP over HTTP, as the exporter of a real process sends it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.running_worker import PATIENCE
from tests.support.spans import Seen


class Collector:
    """Keeps the spans of all processes. `environment` are their settings."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.bodies: list[bytes] = []
        self.url = ""
        self._news = asyncio.Condition()

    @property
    def environment(self) -> dict[str, str]:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Collector"]:
        application = web.Application()
        application.add_routes([web.post("/v1/traces", self._receive)])
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def until(self, enough: Callable[[list[Seen]], bool]) -> None:
        """Wait until the spans are enough."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: enough(self.spans))

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        async with self._news:
            self.spans += _spans(body)
            self._news.notify_all()
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")


def _spans(body: bytes) -> Iterable[Seen]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = str(_attributes(resource.resource.attributes)["service.name"])
        for scope in resource.scope_spans:
            yield from (_seen(span, service) for span in scope.spans)


def _seen(span: Any, service: str) -> Seen:
    return Seen(
        span.name,
        Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex() or None,
        span.start_time_unix_nano,
        _attributes(span.attributes),
        tuple(link.trace_id.hex() for link in span.links),
        span.status.code == Status.STATUS_CODE_ERROR,
        service,
    )


def _attributes(pairs: Iterable[Any]) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
