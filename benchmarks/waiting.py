"""Waiting callers of one API process: how soon they learn of a task's end, and their CPU time and memory."""

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import asyncpg
import uvloop

from benchmarks.processes import Child, child, emulator, read_line, resident_mb
from benchmarks.report import percentile, save, show, verdict
from benchmarks.watched_api import API_KEY

CALLERS = 1_500
ENDS_A_SECOND = 150
SILENT, NEWS = 200, 40
"""Callers that never read, and the number of changes that they miss."""
AIM_P99_MS, AIM_CALLS, AIM_KEPT_MB, AIM_SILENT_MB = 300, 5, 10, 40
CALLS = re.compile(r'^broadsheet_supabase_calls_total\{outcome="200"\} (\S+)', re.MULTILINE)
INSERT = """
with made as (
    insert into public.tasks (task_id, kind, request_hash)
    select gen_random_uuid(), 'fetch', 'bench' from generate_series(1, $1) returning task_id),
queued as (
    insert into public.queue (task_id, kind, priority, run_at, max_attempts)
    select task_id, 'fetch', 1, now(), 5 from made)
select task_id::text from made
"""
CHANGE = "update public.queue set message = $2, updated_at = clock_timestamp() where task_id = $1::text::uuid"
END = "select public.cancel_task($1::text::uuid, null)"


class Measured:
    """One API process, its callers and its database."""

    def __init__(self, http: aiohttp.ClientSession, address: str, process: Child, database: asyncpg.Connection) -> None:
        self._http = http
        self._address = address
        self._process = process
        self._database = database

    @property
    def memory_mb(self) -> float:
        """The process's resident memory."""
        return resident_mb(self._process.pid)

    async def insert(self, count: int) -> list[str]:
        """Create tasks that no worker runs."""
        return [row["task_id"] for row in await self._database.fetch(INSERT, count)]

    async def watched_by(self, count: int) -> None:
        """Wait until `count` callers watch."""
        while int(await self._text("/watchers")) != count:
            await asyncio.sleep(0.05)

    async def round(self) -> dict[str, float]:
        """Let `CALLERS` wait, each for a different task, and end the tasks in turn."""
        ids = await self.insert(CALLERS)
        waiters = [asyncio.create_task(self._seen(task_id)) for task_id in ids]
        await self.watched_by(CALLERS)
        waiting_mb, calls, begin = self.memory_mb, await self._calls(), time.perf_counter()
        ended = await self._end(ids)
        seen = await asyncio.gather(*waiters)
        calls, seconds = await self._calls() - calls, time.perf_counter() - begin
        late = [at - end for at, end in zip(seen, ended, strict=True)]
        await self.watched_by(0)
        return {
            "p50_ms": percentile(late, 0.5) * 1e3,
            "p99_ms": percentile(late, 0.99) * 1e3,
            "calls_per_second": calls / seconds,
            "waiting_mb": waiting_mb,
            "afterwards_mb": self.memory_mb,
        }

    async def silent(self) -> dict[str, float]:
        """Let `SILENT` callers follow one task without reading."""
        (task_id,) = await self.insert(1)
        before = self.memory_mb
        host, _, port = self._address.removeprefix("http://").partition(":")
        head = f"GET /v1/fetches/{task_id}/events HTTP/1.1\r\nhost: a\r\nx-api-key: {API_KEY}\r\n\r\n"
        async with AsyncExitStack() as connections:
            for _ in range(SILENT):
                _reader, writer = await asyncio.open_connection(host, int(port), limit=1)
                connections.callback(_abort, writer)
                writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket transport has it
                writer.write(head.encode())
            await self.watched_by(SILENT)
            for number in range(NEWS):
                await self._database.execute(CHANGE, task_id, f"{number} " + "x" * 2_000)
                await asyncio.sleep(0.1)
            most = self.memory_mb
        await self.watched_by(0)
        return {"more_mb": most - before, "afterwards_mb": self.memory_mb - before}

    async def _seen(self, task_id: str) -> float:
        headers = {"Prefer": "wait=60"}
        async with self._http.get(f"{self._address}/v1/fetches/{task_id}", headers=headers) as answer:
            task = await answer.json()
        assert task["status"] == "cancelled", task
        return time.perf_counter()

    async def _end(self, ids: Sequence[str]) -> list[float]:
        """End the tasks at regular intervals; returns the time of each end."""
        ended, begin = [], time.perf_counter()
        for number, task_id in enumerate(ids):
            await asyncio.sleep(begin + number / ENDS_A_SECOND - time.perf_counter())
            await self._database.fetchval(END, task_id)
            ended.append(time.perf_counter())
        return ended

    async def _calls(self) -> float:
        found = CALLS.search(await self._text("/metrics"))
        return float(found[1]) if found else 0.0

    async def _text(self, path: str) -> str:
        async with self._http.get(f"{self._address}{path}") as answer:
            return await answer.text()


def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def measure() -> dict[str, Any]:
    """Measure two rounds, the second after the first has disconnected, and the callers that never read."""
    with (
        emulator(durable=False) as ready,
        child("benchmarks.watched_api", "ours", ready.url, ready.secret_key, quiet=True) as api,
    ):
        address = read_line(api)
        database = await asyncpg.connect(ready.database_url)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector, headers={"X-API-Key": API_KEY}) as http:
            measured = Measured(http, address, api, database)
            rounds = [await measured.round() for _ in range(2)]
            silent = await measured.silent()
        await database.close()
    return {"rounds": rounds, "silent": silent}


def main() -> None:
    """Measure, print and save."""
    measured = uvloop.run(measure())
    first, second = measured["rounds"]
    kept, silent = second["afterwards_mb"] - first["afterwards_mb"], measured["silent"]["more_mb"]
    aims = [
        ("ends seen, p99, ms", AIM_P99_MS, second["p99_ms"]),
        ("calls to Supabase a second", AIM_CALLS, second["calls_per_second"]),
        (f"memory that a second {CALLERS:,} leave behind, MB", AIM_KEPT_MB, kept),
        (f"memory for {SILENT} callers that never read, MB", AIM_SILENT_MB, silent),
    ]
    show(
        f"waiting: {CALLERS:,} callers of one process, {ENDS_A_SECOND} ends a second",
        ["aim", "at most", "measured", ""],
        [[name, f"{most}", f"{found:.1f}", verdict(found <= most)] for name, most, found in aims],
    )
    print(f"p50 {second['p50_ms']:.0f} ms; {second['waiting_mb']:.0f} MB while they wait")
    save("waiting", measured)


if __name__ == "__main__":
    main()
