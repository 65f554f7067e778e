"""`python -m benchmarks.queue_workers NAME CONCURRENCY READY`: a worker of no-op tasks for the queue NAME.

READY is the line that the emulator prints. The worker prints `started`, works until SIGTERM, and then prints its costs
as one line of JSON: calls to Supabase (Broadsheet only) and CPU seconds.
"""

import asyncio
import json
import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any
from uuid import uuid4

import asyncpg
import procrastinate
import structlog
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from pgqueuer.models import Job as PgQueuerJob

from app.client.factory import open_supabase
from app.client.transport import CallCounters
from app.config import SupabaseSettings
from app.models.tasks import TaskKind
from app.persistence.queue import TaskQueue
from app.process.gc_freeze import freeze_loaded_objects
from app.tracing.export import exporting
from embedded.stack import Ready
from worker.job import Handler, Job
from worker.runner import Worker, WorkerLimits

ENTRYPOINT = "noop"
LEASE = timedelta(seconds=60)

calls: Counter[str] = Counter()


def procrastinate_app(ready: Ready, pool: int = 10) -> procrastinate.App:
    """procrastinate on the emulator's database, with one task that does nothing."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=ready.database_url, max_size=pool))

    @app.task(name=ENTRYPOINT)
    async def noop() -> None:
        pass

    return app


async def broadsheet(ready: Ready, concurrency: int, stop: asyncio.Event) -> None:
    """Broadsheet's own worker loop over HTTP, with a handler that does nothing."""

    async def noop(_job: Job) -> dict[str, Any]:
        return {}

    settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
    counters = CallCounters(call=lambda outcome: calls.update([outcome]), attempt=lambda _outcome: None)
    async with open_supabase(settings, counters=counters) as client:
        handlers = {TaskKind.FETCH: Handler(noop, timedelta(seconds=30))}
        worker = Worker(
            TaskQueue(client, worker_id=uuid4(), kinds=list(handlers), lease=LEASE),
            handlers,
            WorkerLimits(concurrency, LEASE, grace=timedelta(seconds=5)),
            random=Random(),
            on_outcome=lambda _task, _outcome, _seconds: None,
        )
        freeze_loaded_objects()
        print("started", flush=True)
        await worker.run(stop)


async def procrastination(ready: Ready, concurrency: int, stop: asyncio.Event) -> None:
    """procrastinate's worker on a direct connection."""
    async with procrastinate_app(ready, pool=20).open_async() as app:
        print("started", flush=True)
        await until(stop, app.run_worker_async(concurrency=concurrency, install_signal_handlers=False))


async def pgqueuer(ready: Ready, concurrency: int, stop: asyncio.Event) -> None:
    """pgqueuer's worker on a direct connection, in batches as large as the concurrency, with unlimited running jobs."""
    await pgqueuer_run(ready, stop, batch_size=concurrency)


async def limited_pgqueuer(ready: Ready, concurrency: int, stop: asyncio.Event) -> None:
    """pgqueuer's worker with at most `concurrency` running jobs; pgqueuer then requires batches of half that size."""
    await pgqueuer_run(ready, stop, batch_size=concurrency // 2, running_tasks=concurrency)


async def pgqueuer_run(ready: Ready, stop: asyncio.Event, batch_size: int, running_tasks: int | None = None) -> None:
    """Run pgqueuer's worker within these limits until `stop` is set."""
    async with asyncpg.create_pool(ready.database_url, min_size=2, max_size=10) as pool:
        queuer = PgQueuer(AsyncpgPoolDriver(pool))

        @queuer.entrypoint(ENTRYPOINT)
        async def noop(_job: PgQueuerJob) -> None:
            pass

        print("started", flush=True)
        running = queuer.qm.run(batch_size=batch_size, max_concurrent_tasks=running_tasks)
        await until(stop, running)


async def until(stop: asyncio.Event, work: Any) -> None:
    """Run `work` until `stop` is set."""
    running = asyncio.create_task(work)
    await stop.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


WORKERS: dict[str, Callable[[Ready, int, asyncio.Event], Awaitable[None]]] = {
    "broadsheet": broadsheet,
    "procrastinate": procrastination,
    "pgqueuer": pgqueuer,
    "pgqueuer limited": limited_pgqueuer,
}


async def main(name: str, concurrency: int, ready: Ready) -> None:
    """Work until SIGTERM, then print the costs."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    began = time.process_time()
    await WORKERS[name](ready, concurrency, stop)
    print(json.dumps({"calls": calls.total(), "cpu_seconds": time.process_time() - began}), flush=True)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    with exporting("broadsheet-benchmark", "0"):
        uvloop.run(main(sys.argv[1], int(sys.argv[2]), Ready(**json.loads(sys.argv[3]))))
