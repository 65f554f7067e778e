"""A process's Prometheus metrics, including its event loop's lag."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.registry import Collector

from app.client.transport import CallCounters
from app.models.digests import FallbackReason

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LAG_INTERVAL = 0.1
CALLER = "caller"
"""The label of every metric about a caller. Only admins and the private port get these metrics."""
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _WithoutCallers(Collector):
    """Collects a registry's metrics except those about callers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """Return the metrics without the label `caller`."""
        for metric in self._registry.collect():
            if not any(CALLER in sample.labels for sample in metric.samples):
                yield metric


class Metrics:
    """The metrics of one process, in their own registry, so that tests share nothing."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.http_request_duration = Histogram(
            "broadsheet_http_request_duration_seconds",
            "Requests to the API by route and status.",
            ("method", "route", "status"),
            buckets=_FAST,
            registry=registry,
        )
        self.caller_requests = Counter(
            "broadsheet_caller_requests",
            "Requests by caller.",
            (CALLER, "status"),
            registry=registry,
        )
        self.supabase_calls = Counter(
            "broadsheet_supabase_calls",
            "Calls to Supabase by outcome (HTTP status or error).",
            ("outcome",),
            registry=registry,
        )
        self.supabase_attempts = Counter(
            "broadsheet_supabase_attempts",
            "Attempts of these calls; attempts minus calls are retries.",
            ("outcome",),
            registry=registry,
        )
        self.loop_lag = Histogram(
            "broadsheet_event_loop_lag_seconds",
            "Delay of the event loop's timers.",
            buckets=_FAST,
            registry=registry,
        )
        self.tasks = Counter(
            "broadsheet_tasks",
            "Task attempts that this worker finished, by outcome.",
            ("kind", "outcome"),
            registry=registry,
        )
        self.task_duration = Histogram(
            "broadsheet_task_duration_seconds", "Duration of a task's attempt.", ("kind",), registry=registry
        )
        self.queue_depth = Gauge("broadsheet_queue_depth", "Unfinished tasks.", ("kind", "status"), registry=registry)
        self.queue_oldest_task_age = Gauge(
            "broadsheet_queue_oldest_task_age_seconds",
            "Age of the oldest task that is ready to be claimed.",
            ("kind",),
            registry=registry,
        )
        self.database_up = Gauge(
            "broadsheet_database_up", "1 if the last scrape could read the queue's metrics.", registry=registry
        )
        self.condition = Gauge(
            "broadsheet_condition",
            "Problems of each condition in the health line; 0: none. None is known while the database is unreachable.",
            ("condition", "severity"),
            registry=registry,
        )
        self.watchers = Gauge(
            "broadsheet_open_streams", "Callers that wait for tasks or stream their events.", registry=registry
        )
        self.circuit_breaker_open = Gauge(
            "broadsheet_circuit_breaker_open", "1 while a circuit breaker is open.", ("breaker",), registry=registry
        )

        self.model_fallbacks = Counter(
            "broadsheet_model_fallbacks",
            "Items with an excerpt from the abstract instead of the model's summary, by reason.",
            ("reason",),
            registry=registry,
        )
        for reason in FallbackReason:
            # A counter that appears with its first event shows no increase.
            self.model_fallbacks.labels(reason.value)

    @property
    def supabase_counters(self) -> CallCounters:
        """The transport's callbacks that count every call and attempt."""
        return CallCounters(
            call=lambda outcome: self.supabase_calls.labels(outcome).inc(),
            attempt=lambda outcome: self.supabase_attempts.labels(outcome).inc(),
        )

    def text(self, *, callers: bool = True) -> bytes:
        """Return all metrics in Prometheus' text format; without those about callers if `callers` is false."""
        return generate_latest(self.registry if callers else _WithoutCallers(self.registry))

    @asynccontextmanager
    async def measuring_loop_lag(self) -> AsyncIterator[None]:
        """Measure the event loop's lag ten times a second while the context is open."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            start = loop.time()
            await asyncio.sleep(LAG_INTERVAL)
            self.loop_lag.observe(max(0.0, loop.time() - start - LAG_INTERVAL))
