"""Opens a whole worker: its client, components, claim loop and private port; and runs it with its background jobs."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from socket import gethostname
from uuid import UUID, uuid4

import structlog

from app.client.factory import open_supabase
from app.config import WorkerSettings
from app.digest.scheduled import SourceWaits
from app.installation.versions import project_version
from app.models.tasks import TaskKind
from app.persistence.outcomes import Outcome
from app.persistence.queue import ClaimedTask, TaskQueue
from app.process.gc_freeze import freeze_loaded_objects
from app.process.metrics import Metrics
from app.services import Services
from worker.configuration import log_not_configured, not_configured
from worker.http import worker_http
from worker.periodic.task_stats import Tally, TaskStatsReporter, model_usage
from worker.runner import Worker, WorkerLimits, WorkState
from worker.supervisor import PeriodicJobFailed, supervise
from worker.watchdog import LoopStopped, watch_loop
from worker.wiring import Components, fetch_slots, open_components

log = structlog.get_logger(__name__)

IMPORT_SLOTS = 1
"""Imports that a worker runs at once: parsing uses the CPU that digests need too."""

OnOutcome = Callable[[ClaimedTask, Outcome, float], None]


@dataclass(frozen=True)
class OpenedWorker:
    """A worker that is ready to run. `missing` are the settings that it lacks, each with its consequence."""

    worker: Worker
    worker_id: UUID
    services: Services
    components: Components
    limits: WorkerLimits
    kinds: tuple[TaskKind, ...]
    missing: dict[str, str]
    reporter: TaskStatsReporter

    def own_jobs(self) -> dict[str, Coroutine[None, None, None]]:
        """Return the jobs that every worker needs: the watch over its loop, and the report of its statistics."""
        watch = watch_loop(lambda: self.worker.calls, self.limits.lease)
        return {"watch": watch, "task stats": self.reporter.run()}

    def log_start(self) -> None:
        """Log the start with the missing settings, and exclude what is loaded from garbage collection."""
        log_not_configured(self.missing)
        freeze_loaded_objects()
        kinds = [kind.value for kind in self.kinds]
        log.info("worker started", worker_id=str(self.worker_id), kinds=kinds, concurrency=self.limits.concurrency)


@asynccontextmanager
async def open_worker(
    settings: WorkerSettings,
    random: Random,
    *,
    waits: SourceWaits | None = None,
    on_outcome: OnOutcome | None = None,
    after_call: Callable[[WorkState], Awaitable[None]] | None = None,
) -> AsyncIterator[OpenedWorker]:
    """Open a worker, and close it at the end of the block. Raises `ConfigurationError`.

    `waits` are those of scheduled digests; `on_outcome` is called for each ended attempt; `after_call`: see `Worker`.
    """
    metrics, limits, worker_id, missing = Metrics(), worker_limits(settings), uuid4(), not_configured(settings)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_supabase(settings, counters=metrics.supabase_counters))
        services = Services.build(client)
        components = await stack.enter_async_context(open_components(services, settings, waits))
        await stack.enter_async_context(metrics.measuring_loop_lag())
        kinds = tuple(components.handlers)
        info = {"host": gethostname(), "version": project_version()}
        queue = TaskQueue(client, worker_id=worker_id, kinds=kinds, lease=limits.lease, **info)
        tally = Tally(kinds, random)
        counting = _counting(metrics, tally, on_outcome)
        worker = Worker(queue, components.handlers, limits, random=random, on_outcome=counting, after_call=after_call)
        await stack.enter_async_context(
            worker_http(
                metrics, worker.health, limits.lease, missing, host=settings.worker_host, port=settings.worker_port
            )
        )
        reporter = TaskStatsReporter(services.task_stats, worker_id, tally, random=random)
        yield OpenedWorker(worker, worker_id, services, components, limits, kinds, missing, reporter)


async def run_supervised(
    worker: Worker, periodic_jobs: Mapping[str, Coroutine[None, None, None]], stop: asyncio.Event
) -> None:
    """Run the worker and its periodic jobs until `stop`. Raises the first `PeriodicJobFailed` when it has stopped."""
    main_task, failures = asyncio.current_task(), list[PeriodicJobFailed]()

    def on_failure(failure: PeriodicJobFailed) -> None:
        failures.append(failure)
        stop.set()
        if isinstance(failure.__cause__, LoopStopped) and main_task is not None:
            main_task.cancel()

    try:
        async with supervise(periodic_jobs, on_failure=on_failure):
            await worker.run(stop)
    except asyncio.CancelledError:
        if not failures:
            raise
    if failures:
        raise failures[0]


def worker_limits(settings: WorkerSettings) -> WorkerLimits:
    """Return the limits that the settings define. Each kind has its own slots, so that no kind blocks another."""
    callbacks = settings.callback_slots or max(1, settings.concurrency // 3)
    fetches = fetch_slots(settings)
    # If the worker dies, each mail that it is sending may be in doubt. Tasks that wait for a place have sent nothing.
    mails = min(settings.mail_connections, settings.concurrency) if settings.mail_url else 0
    digests = max(1, settings.concurrency - callbacks - fetches - mails - IMPORT_SLOTS)
    return WorkerLimits(
        settings.concurrency,
        lease=timedelta(seconds=settings.lease_seconds),
        grace=timedelta(seconds=settings.grace_period),
        poll_interval=timedelta(seconds=settings.poll_interval),
        kind_slots={
            TaskKind.CALLBACK: callbacks,
            TaskKind.FETCH: fetches,
            TaskKind.DIGEST: digests,
            TaskKind.DELIVERY: mails,
            TaskKind.IMPORT: IMPORT_SLOTS,
        },
    )


def stop_on_signals(stop: asyncio.Event, *others: asyncio.Event) -> None:
    """Set `stop` and `others` at the first signal; cancel the main task at the second, or if `stop` was set already."""
    loop, main_task = asyncio.get_running_loop(), asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set() and main_task is not None:
            main_task.cancel()
        for event in (stop, *others):
            event.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)


def _counting(metrics: Metrics, tally: Tally, also: OnOutcome | None) -> OnOutcome:
    def count(task: ClaimedTask, outcome: Outcome, seconds: float) -> None:
        metrics.tasks.labels(task.kind.value, type(outcome).__name__.lower()).inc()
        metrics.task_duration.labels(task.kind.value).observe(seconds)
        for reason, items in model_usage(outcome).fallbacks.items():
            metrics.model_fallbacks.labels(reason.value).inc(items)
        tally.count(task, outcome)
        if also is not None:
            also(task, outcome, seconds)

    return count
