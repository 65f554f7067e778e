"""`python -m benchmarks.rivals NAME ADDRESS`: measures one kind of client that reads a task, in a separate process.

Reads requests from standard input, one line of JSON each (`{"in_flight": 100, "calls": 500, "time_limit": 1.2}`), and
prints one line of figures for each. Every rival reads the same row with the same query into the same `Task`, on uvloop
and with loaded objects excluded from garbage collection, like the service.
"""

import asyncio
import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from uuid import UUID

import aiohttp
import uvloop
from pydantic import TypeAdapter
from supabase import AsyncClientOptions, Client, create_async_client, create_client

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.models.tasks import Task
from app.persistence.tasks import RECORDS, TaskStateManager
from app.process.gc_freeze import freeze_loaded_objects
from benchmarks.processes import resident_mb
from benchmarks.report import percentile
from benchmarks.stub import TASK_ID

KEY = "legacy.jwt.key"
INTERVAL = 0.002
"""Seconds between two measurements of the event loop; the delay of the wake-up is the lag."""

Read = Callable[[], Awaitable[object]]
_TASKS = TypeAdapter(list[Task])


def _read_blocking(client: Client) -> Task:
    answer = client.table(RECORDS).select("*").eq("task_id", TASK_ID).limit(1).execute()
    return _TASKS.validate_python(answer.data)[0]


@asynccontextmanager
async def blocking(address: str) -> AsyncIterator[Read]:
    """The synchronous client called inside `async def`, as in the service that this one replaces."""
    client = create_client(address, KEY)

    async def read() -> Task:
        return _read_blocking(client)

    yield read


@asynccontextmanager
async def threads(address: str) -> AsyncIterator[Read]:
    """The synchronous client with `asyncio.to_thread`, the usual workaround."""
    client = create_client(address, KEY)
    yield lambda: asyncio.to_thread(_read_blocking, client)


@asynccontextmanager
async def stock(address: str) -> AsyncIterator[Read]:
    """The asynchronous client without changes."""
    options = AsyncClientOptions(auto_refresh_token=False, persist_session=False)
    client = await create_async_client(address, KEY, options)
    tasks = TaskStateManager(client)
    yield lambda: tasks.get_task(UUID(TASK_ID))
    await client.postgrest.aclose()


@asynccontextmanager
async def ours(address: str) -> AsyncIterator[Read]:
    """The client of `app/client/factory.py`."""
    settings = SupabaseSettings.model_validate(
        {"supabase_url": address, "supabase_key": KEY, "supabase_max_connections": 200}
    )
    async with open_supabase(settings) as client:
        tasks = TaskStateManager(client)
        yield lambda: tasks.get_task(UUID(TASK_ID))


@asynccontextmanager
async def bare(address: str) -> AsyncIterator[Read]:
    """Only aiohttp, without a Supabase client: the upper limit."""
    url = f"{address}/rest/v1/{RECORDS}?select=*&task_id=eq.{TASK_ID}&limit=1"
    headers = {"apiKey": KEY, "Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=200)) as session:

        async def read() -> Task:
            async with session.get(url) as response:
                return _TASKS.validate_json(await response.read())[0]

        yield read


RIVALS: dict[str, Callable[[str], AbstractAsyncContextManager[Read]]] = {
    "blocking": blocking,
    "threads": threads,
    "stock": stock,
    "ours": ours,
    "bare": bare,
}


@contextmanager
def watching(lags: list[float]) -> Iterator[None]:
    """Collect the event loop's lag, in seconds, while the block runs."""

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while True:
            begin = loop.time()
            try:
                await asyncio.sleep(INTERVAL)
            finally:
                # Include the unfinished sample at the end of the block: with a blocked loop it is the only one.
                lags.append(max(0.0, loop.time() - begin - INTERVAL))

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()


async def measured(read: Read, *, calls: int, in_flight: int, time_limit: float) -> dict[str, float]:
    """Make `calls` reads, `in_flight` at a time, until `time_limit` seconds have passed; returns the figures."""
    remaining = iter(range(calls))
    made = 0

    async def reader() -> None:
        nonlocal made
        for _ in remaining:
            if time.perf_counter() - begin > time_limit:
                return
            await read()
            made += 1

    lags: list[float] = []
    with watching(lags):
        await asyncio.sleep(5 * INTERVAL)
        begin, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(reader() for _ in range(in_flight)))
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    await asyncio.sleep(0)
    return {
        "calls": made,
        "calls_per_second": made / seconds,
        "cpu_us_per_call": cpu / made * 1e6,
        "lag_p50_ms": percentile(lags, 0.5) * 1e3,
        "lag_p99_ms": percentile(lags, 0.99) * 1e3,
        "lag_max_ms": max(lags) * 1e3,
        "threads": threading.active_count(),
        "memory_mb": resident_mb(),
    }


async def serve_requests(name: str, address: str) -> None:
    """Warm up, then serve requests from standard input until it ends."""
    async with RIVALS[name](address) as read:
        await measured(read, calls=10, in_flight=10, time_limit=10)
        freeze_loaded_objects()
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await measured(read, **json.loads(line))), flush=True)


if __name__ == "__main__":
    uvloop.run(serve_requests(*sys.argv[1:]))
