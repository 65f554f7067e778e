"""Traces: a worker's CPU time per digest and per no-op task, without traces, with a tenth of them, and with all.

The exporter's thread is included; the collector, a separate server, accepts everything at once.
"""

import asyncio
import json
import statistics
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Any, Final

import asyncpg
import uvloop
from aiohttp import web

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from benchmarks.digest import store
from benchmarks.processes import child, emulator, read_line
from benchmarks.queue import QUEUES, start, stop, until
from benchmarks.report import save, show
from embedded.stack import Ready

ROUNDS, TASKS, CONCURRENCY = 3, 20_000, 100
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


def digests(ready: Ready, url: str, ratio: str) -> dict[str, float]:
    """The figures of `benchmarks.traced_digests`."""
    with child("benchmarks.traced_digests", json.dumps(asdict(ready)), url, ratio) as process:
        found: dict[str, float] = json.loads(read_line(process))
        return found


async def no_ops(ready: Ready, database: asyncpg.Connection, traces: Mapping[str, str]) -> float:
    """Give two idle workers tasks that do nothing; returns their CPU microseconds for each."""
    queue, stack = QUEUES["broadsheet"], ExitStack()
    await queue.enqueue(database, ready, 100)
    try:
        workers = start(stack, "broadsheet", CONCURRENCY, ready, traces)
        await until(database, queue.finished)
        await queue.enqueue(database, ready, TASKS)
        await until(database, queue.finished)
        return sum([(await asyncio.to_thread(stop, worker))["cpu_seconds"] for worker in workers]) / TASKS * 1e6
    finally:
        # In a thread, because the workers send their last spans to the collector of this event loop.
        await asyncio.to_thread(stack.close)


async def measure() -> dict[str, Any]:
    """Measure everything; the modes of no-op tasks alternate."""
    tasks: dict[str, list[float]] = {mode: [] for mode in RATIOS}
    with emulator() as ready:
        settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
        database = await asyncpg.connect(ready.database_url)
        async with open_supabase(settings) as client, collector() as url:
            await store(client)
            written = {
                mode: await asyncio.to_thread(digests, ready, url, ratio) for mode, ratio in RATIOS.items() if ratio
            }
            for _ in range(ROUNDS):
                for mode, ratio in RATIOS.items():
                    tasks[mode].append(await no_ops(ready, database, variables(ratio, url)))
        await database.close()
    return {"digests": written, "no_op_us": {mode: statistics.median(of) for mode, of in tasks.items()}}


def main() -> None:
    """Measure, print and save."""
    found = uvloop.run(measure())
    show(
        "traces: CPU time per digest, blocks with and without traces in turn",
        ["traces", "ms with", "ms without", "more", "more, median of pairs"],
        [
            [
                mode,
                f"{of['traced_ms']:.2f}",
                f"{of['plain_ms']:.2f}",
                f"{of['traced_ms'] / of['plain_ms'] - 1:+.1%}",
                f"{of['pairs']:+.1%}",
            ]
            for mode, of in found["digests"].items()
        ],
    )
    show(
        f"traces: CPU time of two workers per no-op task, medians of {ROUNDS} rounds",
        ["traces", "µs"],
        [[mode, f"{micros:.1f}"] for mode, micros in found["no_op_us"].items()],
    )
    save("traces", found)


if __name__ == "__main__":
    main()
