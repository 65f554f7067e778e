"""Traces: a worker's CPU time per digest and per no-op task, without traces, with a tenth of them, and with all.

The modes alternate, so that other programs on the machine disturb all of them alike. The exporter's thread is included;
the collector, a separate server, accepts everything at once.
"""

import asyncio
import json
import statistics
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from typing import Final

import asyncpg
import uvloop
from aiohttp import web
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.persistence.tasks import TaskStateManager
from benchmarks.cpu import seconds_of
from benchmarks.digest import DIGESTS, SLOTS, new_digests, store
from benchmarks.processes import child, emulator
from benchmarks.queue import EMPTY, QUEUES, start, stop, until
from benchmarks.report import save, show
from benchmarks.start import environment, until_answered
from embedded.loopback import free_port
from embedded.stack import Ready

ROUNDS, BATCHES = 5, 4
TASKS, CONCURRENCY = 20_000, 100
DONE = "select not exists (select from public.queue)"
RATIOS: Final = {"no traces": None, "10 %": "0.1", "all": "1.0"}


@asynccontextmanager
async def collector() -> AsyncIterator[str]:
    """Accept exports on loopback; yields the URL."""

    async def accept(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(content_type="application/x-protobuf")

    application = web.Application(client_max_size=2**26)
    application.add_routes([web.post("/v1/traces", accept)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def variables(ratio: str | None, url: str) -> dict[str, str]:
    """The variables of a mode."""
    if ratio is None:
        return {}
    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio}
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url} | sampler


async def digests(ready: Ready, database: asyncpg.Connection, client: AsyncClient, traces: Mapping[str, str]) -> float:
    """Let one warm worker write digests; returns its CPU milliseconds for each."""
    await database.execute(EMPTY)
    port = free_port()
    keys = {"SUPABASE_KEY": ready.secret_key, "WORKER_PORT": str(port)} | SLOTS
    with child("worker", env=environment(ready.url) | keys | dict(traces), quiet=True) as worker:
        await asyncio.to_thread(until_answered, f"http://127.0.0.1:{port}/healthz")
        tasks = TaskStateManager(client)
        await tasks.create_tasks(new_digests())
        await until(database, DONE)
        before = seconds_of(worker.pid)
        for _ in range(BATCHES):
            await tasks.create_tasks(new_digests())
        await until(database, DONE)
        return (seconds_of(worker.pid) - before) / (BATCHES * DIGESTS) * 1e3


async def no_ops(ready: Ready, database: asyncpg.Connection, traces: Mapping[str, str]) -> float:
    """Give two idle workers tasks that do nothing; returns their CPU microseconds for each."""
    queue = QUEUES["broadsheet"]
    await queue.enqueue(database, ready, 100)
    stack = ExitStack()
    try:
        workers = start(stack, "broadsheet", CONCURRENCY, ready, traces)
        await until(database, queue.finished)
        await queue.enqueue(database, ready, TASKS)
        await until(database, queue.finished)
        return sum([(await asyncio.to_thread(stop, worker))["cpu_seconds"] for worker in workers]) / TASKS * 1e6
    finally:
        # In a thread, because the workers send their last spans to the collector of this event loop.
        await asyncio.to_thread(stack.close)


async def measure() -> dict[str, dict[str, float]]:
    """Measure the modes in turn; returns the medians."""
    found: dict[str, dict[str, list[float]]] = {mode: {"digest_ms": [], "no_op_us": []} for mode in RATIOS}
    with emulator() as ready:
        settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
        database = await asyncpg.connect(ready.database_url)
        async with open_supabase(settings) as client, collector() as url:
            await store(client)
            for _ in range(ROUNDS):
                for mode, ratio in RATIOS.items():
                    traces = variables(ratio, url)
                    found[mode]["digest_ms"].append(await digests(ready, database, client, traces))
                    found[mode]["no_op_us"].append(await no_ops(ready, database, traces))
                    print(json.dumps({mode: {name: values[-1] for name, values in found[mode].items()}}), flush=True)
        await database.close()
    return {mode: {name: statistics.median(of) for name, of in figures.items()} for mode, figures in found.items()}


def main() -> None:
    """Measure, print and save."""
    found = uvloop.run(measure())
    plain = found["no traces"]
    show(
        f"traces: CPU time of a worker, medians of {ROUNDS} alternating rounds",
        ["traces", "ms per digest", "more", "µs per no-op task", "more"],
        [
            [
                mode,
                f"{of['digest_ms']:.2f}",
                f"{of['digest_ms'] / plain['digest_ms'] - 1:+.1%}",
                f"{of['no_op_us']:.1f}",
                f"{of['no_op_us'] - plain['no_op_us']:+.1f} µs",
            ]
            for mode, of in found.items()
        ],
    )
    save("traces", found)


if __name__ == "__main__":
    main()
