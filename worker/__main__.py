"""Starts the worker: `python -m worker`."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from uuid import uuid4

import structlog
import uvloop

from app.config import WorkerSettings, load_settings
from app.errors import ConfigurationError
from app.logs import configure_logs
from app.metrics import Metrics
from app.persistence.queue import ClaimedTask, Outcome, TaskQueue
from app.services import Services
from app.supabase_client import open_supabase
from app.versions import require_locked_versions
from worker.housekeeping import DailyFetch, Retention
from worker.http import worker_http
from worker.runner import Limits, Worker
from worker.wiring import open_handlers

log = structlog.get_logger(__name__)


async def work(settings: WorkerSettings) -> None:
    """Work until SIGTERM or Ctrl-C, then for the grace period; a second signal ends it now."""
    metrics, random, stop = Metrics(), Random(), asyncio.Event()  # noqa: S311  (jitter)
    _stop_on_signals(stop)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_supabase(settings, counters=metrics.supabase_counters))
        services = Services.build(client)
        handlers = await stack.enter_async_context(open_handlers(services, settings))
        await stack.enter_async_context(metrics.watching_the_loop())
        await stack.enter_async_context(worker_http(metrics, settings.worker_host, settings.worker_port))
        limits, worker_id = _limits(settings), uuid4()
        queue = TaskQueue(client, worker_id=worker_id, kinds=list(handlers), lease=limits.lease)
        worker = Worker(
            queue,
            services.tasks,
            handlers,
            limits,
            random=random,
            on_outcome=_counting(metrics),
        )
        chores = [asyncio.create_task(chore) for chore in _chores(services, settings, random)]
        kinds = [kind.value for kind in handlers]
        log.info("worker started", worker_id=str(worker_id), kinds=kinds, concurrency=limits.concurrency)
        try:
            await worker.run(stop)
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
    log.info("worker stopped")


def _limits(settings: WorkerSettings) -> Limits:
    return Limits(
        settings.concurrency,
        lease=timedelta(seconds=settings.lease_seconds),
        grace=timedelta(seconds=settings.grace_period),
        idle_wait=timedelta(seconds=settings.idle_wait),
    )


def main() -> int:
    """Work until SIGTERM; 1 if the process may not start, with the reason on standard error."""
    try:
        require_locked_versions()
        settings = load_settings(WorkerSettings)
        configure_logs(settings)
        uvloop.run(work(settings))
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        log.warning("stopped at once; leases run out by themselves")
    return 0


def _stop_on_signals(stop: asyncio.Event) -> None:
    """The first signal sets `stop`; the second cancels the process's main task."""
    loop, main_task = asyncio.get_running_loop(), asyncio.current_task()

    def stopping() -> None:
        if stop.is_set() and main_task is not None:
            main_task.cancel()
        stop.set()

    for wanted in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(wanted, stopping)


def _counting(metrics: Metrics) -> Callable[[ClaimedTask, Outcome, float], None]:
    def count(task: ClaimedTask, outcome: Outcome, seconds: float) -> None:
        metrics.tasks.labels(task.kind.value, type(outcome).__name__.lower()).inc()
        metrics.task_seconds.labels(task.kind.value).observe(seconds)

    return count


def _chores(services: Services, settings: WorkerSettings, random: Random) -> list[Coroutine[None, None, None]]:
    """What runs beside the tasks."""
    retention = Retention(
        services.maintenance,
        task_days=settings.keep_tasks_days,
        edition_days=settings.keep_editions_days,
        random=random,
    )
    chores = [retention.run()]
    if settings.daily_fetch_at is not None:
        clock = partial(datetime.now, UTC)
        chores.append(DailyFetch(services.tasks, settings.daily_fetch_at, now=clock, sleep=asyncio.sleep).run())
    return chores


if __name__ == "__main__":
    sys.exit(main())
