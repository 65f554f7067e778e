"""The API: status polls over a project 20 ms away, its event loop's lag under load, and its memory."""

import asyncio
import time
from contextlib import ExitStack
from typing import Any

import aiohttp
import uvloop

from benchmarks.cpu import seconds_of
from benchmarks.processes import Child, child, read_line, resident_mb
from benchmarks.report import median_of, percentile, save, show, verdict
from benchmarks.stub import TASK_ID, running
from benchmarks.watched_api import API_KEY

DELAY = 0.02
CONNECTIONS = 64
ROUNDS = 3
POLLS = {"ours": 768, "stock": 320, "threads": 256, "blocking": 64}
"""Polls per round; fewer for slower routes."""
NAMES = {
    "ours": "Broadsheet's API",
    "stock": "bare route, stock AsyncClient",
    "threads": "bare route, asyncio.to_thread",
    "blocking": "bare route, synchronous client",
}
MANY, POSTS = 500, 100
FEW_TASKS, MANY_TASKS = 500, 5_000
AIM_LAG_MS, AIM_GROWTH_MB = 50, 10
AIM_TIMES = {"stock": 2.2, "threads": 2.5}
"""Minimum ratio of our polls per second to those of a bare route."""
BODY = {"profile": {"name": "Ada", "interests": ["retrieval"]}, "source_date": "2026-11-22"}


def open_http(connections: int) -> aiohttp.ClientSession:
    """An HTTP session of one caller with `connections` connections."""
    connector = aiohttp.TCPConnector(limit=connections)
    return aiohttp.ClientSession(connector=connector, headers={"X-API-Key": API_KEY})


async def poll(http: aiohttp.ClientSession, address: str, count: int, in_flight: int) -> list[float]:
    """Make `count` polls, `in_flight` at a time; returns the seconds of each poll."""
    took: list[float] = []
    turns = iter(range(count))

    async def caller() -> None:
        for _ in turns:
            begin = time.perf_counter()
            async with http.get(f"{address}/v1/digests/{TASK_ID}") as answer:
                await answer.read()
                assert answer.status == 200, answer.status
            took.append(time.perf_counter() - begin)

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return took


async def post(http: aiohttp.ClientSession, address: str, count: int, in_flight: int) -> None:
    """Post `count` tasks, `in_flight` at a time."""
    turns = iter(range(count))

    async def caller() -> None:
        for _ in turns:
            async with http.post(f"{address}/v1/digests", json=BODY) as answer:
                await answer.read()
                assert answer.status == 202, answer.status

    await asyncio.gather(*(caller() for _ in range(in_flight)))


async def lag(http: aiohttp.ClientSession, address: str) -> dict[str, float]:
    """The event loop's lag in that API since the last call."""
    async with http.get(f"{address}/lag") as answer:
        found: dict[str, float] = await answer.json()
        return found


async def polls(address: str, process: Child, count: int) -> dict[str, float]:
    """One round of status polls at 64 connections, of the API that `process` serves."""
    async with open_http(CONNECTIONS) as http:
        await lag(http, address)
        begin, used = time.perf_counter(), seconds_of(process.pid)
        took = await poll(http, address, count, CONNECTIONS)
        rate, used = count / (time.perf_counter() - begin), seconds_of(process.pid) - used
        lags = await lag(http, address)
    return {
        "polls_per_second": rate,
        "cpu_us": used / count * 1e6,
        "p50_ms": percentile(took, 0.5) * 1e3,
        "p99_ms": percentile(took, 0.99) * 1e3,
        "lag_p99_ms": lags["p99_ms"],
    }


async def lag_under_load(address: str) -> dict[str, float]:
    """The lag with `MANY` polls in flight while `POSTS` tasks are posted."""
    async with open_http(MANY + 10) as http:
        await poll(http, address, MANY, MANY)  # connects
        await lag(http, address)
        polling = asyncio.create_task(poll(http, address, 2 * MANY, MANY))
        await post(http, address, POSTS, 10)
        await polling
        return await lag(http, address)


async def memory(address: str, process: Child) -> dict[str, float]:
    """Resident memory after 500 and after 5,000 tasks posted and polled."""
    found = {}
    async with open_http(CONNECTIONS) as http:
        done = 0
        for tasks in (FEW_TASKS, MANY_TASKS):
            await post(http, address, tasks - done, CONNECTIONS)
            done = tasks
            await poll(http, address, CONNECTIONS, CONNECTIONS)
            found[str(tasks)] = resident_mb(process.pid)
    return found


async def measure() -> dict[str, Any]:
    """Measure every API in turns, then ours alone."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in POLLS}
    with running(DELAY) as stub, ExitStack() as stack:
        apis = {name: stack.enter_context(child("benchmarks.watched_api", name, stub, quiet=True)) for name in POLLS}
        addresses = {name: read_line(process) for name, process in apis.items()}
        warming_up = (polls(address, apis[name], CONNECTIONS) for name, address in addresses.items())
        await asyncio.gather(*warming_up)
        for _ in range(ROUNDS):
            for name, address in addresses.items():
                found[name].append(await polls(address, apis[name], POLLS[name]))
        busy = [await lag_under_load(addresses["ours"]) for _ in range(ROUNDS)]
        kept = await memory(addresses["ours"], apis["ours"])
    return {
        "polls": {name: median_of(rounds) for name, rounds in found.items()},
        "lag_with_500_polls_and_100_posts": median_of(busy),
        "memory_mb_after_tasks": kept,
    }


def main() -> None:
    """Measure, print and save."""
    measured = uvloop.run(measure())
    own = measured["polls"]["ours"]["polls_per_second"]
    rows = [
        [
            NAMES[name],
            f"{found['polls_per_second']:,.0f}",
            f"{own / found['polls_per_second']:.1f}",
            *(f"{found[which]:,.0f}" for which in ("cpu_us", "p50_ms", "p99_ms", "lag_p99_ms")),
        ]
        for name, found in measured["polls"].items()
    ]
    show(
        f"api: status polls at {CONNECTIONS} connections, project {DELAY * 1e3:.0f} ms away, median of {ROUNDS}",
        ["one uvicorn worker", "polls/s", "ours is", "CPU us", "p50 ms", "p99 ms", "lag p99"],
        rows,
    )
    busy = measured["lag_with_500_polls_and_100_posts"]["p99_ms"]
    few, many = measured["memory_mb_after_tasks"].values()
    times = {name: own / measured["polls"][name]["polls_per_second"] for name in AIM_TIMES}
    growth = f"{many - few:.1f} ({few:.0f}, {many:.0f})"
    show(
        "api: aims",
        ["what", "aim", "measured", ""],
        [
            *(
                [
                    f"polls, times those of the {NAMES[name]}",
                    f">= {aim}",
                    f"{times[name]:.1f}",
                    verdict(times[name] >= aim),
                ]
                for name, aim in AIM_TIMES.items()
            ),
            ["lag p99, 500 polls and 100 posts, ms", f"< {AIM_LAG_MS}", f"{busy:.0f}", verdict(busy < AIM_LAG_MS)],
            ["memory, 5,000 tasks less 500, MB", f"<= {AIM_GROWTH_MB}", growth, verdict(many - few <= AIM_GROWTH_MB)],
        ],
    )
    save("api", measured)


if __name__ == "__main__":
    main()
