"""Callers without a key on a real API process cannot disturb operators or falsify metrics."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from app.pages.ops.sign_in import MAX_DELAYED
from tests.support.processes import ServiceProcess, start_api

ROOT_KEY = "root-key-0123456789"
ATTACKERS, TRIES = 3 * MAX_DELAYED, 20


@asynccontextmanager
async def api_of_root() -> AsyncIterator[tuple[ServiceProcess, httpx.AsyncClient]]:
    """An API with the admin root. Its Supabase project is unreachable, which does not affect signing in."""
    settings = {"API_KEYS": f"root:{ROOT_KEY}", "ADMINS": "root", "PORT": "0", "METRICS_PORT": "0"}
    process = ServiceProcess("app", "http://127.0.0.1:9", "sb_secret_x", **settings)
    limits = httpx.Limits(max_connections=None)
    address = await start_api(process)
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=60, limits=limits) as http:
        yield process, http
    assert await process.stop() == 0


async def sign_in(http: httpx.AsyncClient, key: str) -> httpx.Response:
    return await http.post("/ops/sign-in", data={"key": key})


async def test_many_wrong_keys_do_not_lock_out_an_operator() -> None:
    refused: Counter[int] = Counter()
    flooded = asyncio.Event()

    async def attack(http: httpx.AsyncClient) -> None:
        while True:
            refused[(await sign_in(http, "wrong-key-0123456789")).status_code] += 1
            if refused[429] > MAX_DELAYED:
                flooded.set()

    async with api_of_root() as (_process, http), asyncio.TaskGroup() as group:
        attackers = [group.create_task(attack(http)) for _ in range(ATTACKERS)]
        await flooded.wait()
        opened = [(await sign_in(http, ROOT_KEY)).status_code for _ in range(TRIES)]
        for each in attackers:
            each.cancel()
    assert opened == [303] * TRIES
    assert set(refused) <= {403, 429}


async def test_unauthenticated_disconnects_trigger_no_error_alert() -> None:
    half = b"POST %s HTTP/1.1\r\nhost: api\r\ncontent-length: 9\r\n\r\n{"
    async with api_of_root() as (process, http):
        for path in (b"/ops/sign-in", b"/hooks/mail"):
            _, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
            writer.write(half % path)
            await writer.drain()
            writer.close()
            await process.logged_where(event="request", route=path.decode(), status=499)
        record = await process.logged("health and metrics on")
        private = str(record["event"]).partition("metrics on ")[2]
        counted = (await http.get(f"{private}/metrics")).text
    assert 'status="499"' in counted
    assert 'status="5' not in counted
    assert "Traceback" not in "".join(process.text)
    assert not [line for line in process.log if line["level"] == "error"]
