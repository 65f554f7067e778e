"""The worker's own `/healthz`: the state of its claim loop, independent of Supabase."""

import asyncio
from datetime import timedelta
from typing import Any

import aiohttp
import asyncpg
from aiohttp.test_utils import unused_port
from supabase import AsyncClient

from app.process.metrics import Metrics
from tests.support.proxy import Gate, Proxy
from tests.support.running_worker import PATIENCE, BlockedHandler, StartWorker, until_ended
from tests.support.tasks import create
from worker.http import worker_http

LEASE = 2.0
"""Seconds; longer than a loaded machine delays a claim loop that works."""


async def test_healthz_shows_whether_the_claim_loop_runs(
    client: AsyncClient, database: asyncpg.Connection, proxy: Proxy, start_worker: StartWorker
) -> None:
    work = BlockedHandler()
    proxy.before = gate = Gate()
    running = await start_worker(work, url=proxy.url)
    assert running.worker is not None
    port = unused_port()
    async with (
        worker_http(
            Metrics(),
            running.worker.health,
            timedelta(seconds=LEASE),
            {},
            host="127.0.0.1",
            port=port,
        ),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):

        async def health() -> tuple[int, dict[str, Any]]:
            async with http.get("/healthz") as answer:
                return answer.status, await answer.json()

        task = await create(client)
        await work.begun.wait()
        status, body = await health()
        assert (status, body["status"], body["running_tasks"]) == (200, "ok", 1)
        assert 0 <= body["seconds_since_last_call"] == body["seconds_since_last_response"] < LEASE
        gate.close()
        await gate.is_blocking.wait()  # a call without a response or a timeout
        async with asyncio.timeout(PATIENCE):
            while (await health())[0] == 200:
                await asyncio.sleep(0.02)
        status, body = await health()
        assert (status, body["status"]) == (503, "the claim loop has stopped")
        assert body["seconds_since_last_call"] >= LEASE
        gate.open()
        work.may_end.set()
        await until_ended(database, task.task_id)
        assert (await health())[0] == 200
