"""Starts the worker: `python -m worker`."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from socket import gethostname
from uuid import uuid4

import structlog
import uvloop

from app.client.factory import open_supabase
from app.conditions.monitor import ConditionMonitor
from app.config import WorkerSettings, load_settings
from app.errors import ConfigurationError, SchemaOutdated, SupabaseUnavailable
from app.gc_freeze import freeze_loaded_objects
from app.logs import configure_logs
from app.metrics import Metrics
from app.models import TaskKind
from app.persistence.outcomes import Outcome
from app.persistence.queue import ClaimedTask, TaskQueue
from app.persistence.schema import Schema
from app.services import Services
from app.sources.arxiv import ArxivSource
from app.versions import project_version, require_locked_versions
from worker.configuration import log_not_configured, not_configured, report_configuration
from worker.forced_exit import run_and_stop_tasks
from worker.http import worker_http
from worker.periodic.daily_fetch import DailyFetch
from worker.periodic.paper_look_ups import PaperLookUps
from worker.periodic.paper_vectors import PaperVectors
from worker.periodic.retention import Retention
from worker.periodic.schedule import DueReaderEnqueuer
from worker.periodic.task_stats import Tally, TaskStatsReporter, model_usage
from worker.runner import Worker, WorkerLimits
from worker.supervisor import PeriodicJobFailed, supervise
from worker.watchdog import LoopStopped, watch_loop
from worker.wiring import fetch_slots, open_components

log = structlog.get_logger(__name__)

SCHEMA_CHECK_SECONDS = 5.0
"""The timeout of the first schema check, and the pause before the next one."""


async def run_worker(settings: WorkerSettings) -> None:
    """Work until SIGTERM or Ctrl-C, then for the grace period. A second signal ends it at once.

    Raises `ConfigurationError` and `SchemaOutdated` if it cannot start, and `PeriodicJobFailed`, after a stop as on
    SIGTERM, or at once if the claim loop itself has stopped.
    """
    metrics, random, stop, limits = Metrics(), Random(), asyncio.Event(), worker_limits(settings)  # noqa: S311  (jitter)
    _stop_on_signals(stop)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_supabase(settings, counters=metrics.supabase_counters))
        services, worker_id = Services.build(client), uuid4()
        components = await stack.enter_async_context(open_components(services, settings))
        handlers, missing = components.handlers, not_configured(settings)
        await stack.enter_async_context(metrics.measuring_loop_lag())
        info = {"host": gethostname(), "version": project_version()}
        queue = TaskQueue(client, worker_id=worker_id, kinds=list(handlers), lease=limits.lease, **info)
        tally = Tally(list(handlers), random)
        worker = Worker(queue, handlers, limits, random=random, on_outcome=_counting(metrics, tally))
        await stack.enter_async_context(
            worker_http(
                metrics, worker.health, limits.lease, missing, host=settings.worker_host, port=settings.worker_port
            )
        )
        # After the port is opened: a port in use is reported at once, even while Supabase is unavailable.
        checked = await _schema_checked(services.schema)
        periodic_jobs = _periodic_jobs(services, components.arxiv, settings, random) | {
            "watch": watch_loop(lambda: worker.calls, limits.lease)
        }
        periodic_jobs["task stats"] = TaskStatsReporter(services.task_stats, worker_id, tally, random=random).run()
        periodic_jobs["configuration"] = report_configuration(
            services.worker_configuration, worker_id, missing, components.services
        )
        periodic_jobs["conditions"] = ConditionMonitor(
            services.health, services.condition_states, components.operator_callbacks, random=random
        ).run()
        if not checked:
            periodic_jobs["schema check"] = _wait_for_schema(services.schema)
        kinds = [kind.value for kind in handlers]
        log_not_configured(missing)
        freeze_loaded_objects()
        log.info("worker started", worker_id=str(worker_id), kinds=kinds, concurrency=limits.concurrency)
        await _run(worker, periodic_jobs, stop)
    log.info("worker stopped")


async def _run(worker: Worker, periodic_jobs: Mapping[str, Coroutine[None, None, None]], stop: asyncio.Event) -> None:
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


async def _schema_checked(schema: Schema) -> bool:
    """Check the schema. Return False if Supabase is unavailable. Raises `SchemaOutdated`."""
    try:
        async with asyncio.timeout(SCHEMA_CHECK_SECONDS):
            await schema.require()
    except (SupabaseUnavailable, TimeoutError) as error:
        log.warning("schema not checked yet", error=str(error))
        return False
    return True


async def _wait_for_schema(schema: Schema) -> None:
    """Check the schema until Supabase responds. Raises `SchemaOutdated`."""
    checked = False
    while not checked:
        await asyncio.sleep(SCHEMA_CHECK_SECONDS)
        checked = await _schema_checked(schema)


def worker_limits(settings: WorkerSettings) -> WorkerLimits:
    """Return the limits that the settings define. Each kind has its own slots, so that no kind blocks another."""
    callbacks = settings.callback_slots or max(1, settings.concurrency // 3)
    fetches = fetch_slots(settings)
    # If the worker dies, each mail that it holds may be in doubt: claim no more than are sent at once.
    mails = min(settings.mail_connections, settings.concurrency) if settings.mail_url else 0
    digests = max(1, settings.concurrency - callbacks - fetches - mails)
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
        },
    )


def main() -> int:
    """Run the worker until SIGTERM. Return 1, with the reason on stderr, if it cannot start or fails."""
    try:
        require_locked_versions()
        settings = load_settings(WorkerSettings)
        configure_logs(settings)
        uvloop.run(run_and_stop_tasks(partial(run_worker, settings)))
    except (ConfigurationError, SchemaOutdated, PeriodicJobFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        log.warning("stopped at once, leases will expire")
    except Exception:
        log.exception("worker failed")
        return 1
    return 0


def _stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` at the first signal; cancel the main task at the second."""
    loop, main_task = asyncio.get_running_loop(), asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set() and main_task is not None:
            main_task.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)


def _counting(metrics: Metrics, tally: Tally) -> Callable[[ClaimedTask, Outcome, float], None]:
    def count(task: ClaimedTask, outcome: Outcome, seconds: float) -> None:
        metrics.tasks.labels(task.kind.value, type(outcome).__name__.lower()).inc()
        metrics.task_duration.labels(task.kind.value).observe(seconds)
        for reason, items in model_usage(outcome).fallbacks.items():
            metrics.model_fallbacks.labels(reason.value).inc(items)
        tally.count(task, outcome)

    return count


def _periodic_jobs(
    services: Services, arxiv: ArxivSource, settings: WorkerSettings, random: Random
) -> dict[str, Coroutine[None, None, None]]:
    """Return the periodic jobs by the names that logs use."""
    retention = Retention(
        services.maintenance,
        task_days=settings.task_retention_days,
        edition_days=settings.edition_retention_days,
        digest_days=settings.digest_retention_days,
        delivery_days=settings.delivery_retention_days,
        random=random,
    )
    look_ups = PaperLookUps(services.reader_papers, services.rate_limits, services.breakers, arxiv, random=random)
    periodic_jobs = {
        "retention": retention.run(),
        "schedule": DueReaderEnqueuer(services.schedule, random=random).run(),
        "look-ups": look_ups.run(),
        "vectors": PaperVectors(services.reader_papers, random=random).run(),
    }
    if settings.daily_fetch_at.times:
        clock = partial(datetime.now, UTC)
        daily = DailyFetch(services.tasks, settings.daily_fetch_at, now=clock, sleep=asyncio.sleep)
        periodic_jobs["daily fetch"] = daily.run()
    return periodic_jobs


if __name__ == "__main__":
    sys.exit(main())
