"""A collector that accepts exports and never responds costs spans, and neither tasks nor the end of a process."""

import asyncio

import asyncpg
import httpx

from app.tracing.provider import CLOSE_WITHIN, EXPORT_TIMEOUT
from embedded.stack import Ready
from tests.support.processes import API_KEY, LONG_LEASE, api_process, start_api, worker_process
from tests.support.running_worker import until
from tests.support.scripted_server import ScriptedServer, stall

PATIENCE = 60
"""Seconds, several times what an export may take: the machine may be slow. The SDK's own limit would be longer."""


async def test_a_hanging_collector_does_not_keep_a_process(stack: Ready, database: asyncpg.Connection) -> None:
    assert CLOSE_WITHIN + EXPORT_TIMEOUT < 10
    collector = ScriptedServer(stall)
    await collector.start()
    # With a short lease, the watchdog would end a worker whose last export takes longer.
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    api, worker = api_process(stack, **settings), worker_process(stack, **LONG_LEASE, **settings)
    async with httpx.AsyncClient(base_url=await start_api(api), trust_env=False, timeout=60) as http:
        body = {"profile": {"name": "Ada", "interests": ["ice"]}, "callback_url": "http://127.0.0.1:9/hook"}
        posted = await http.post("/v1/digests", json=body, headers={"X-API-Key": API_KEY})
        cancelled = await http.post(posted.headers["location"] + "/cancel", headers={"X-API-Key": API_KEY})
        assert cancelled.status_code == 202
        await worker.start("worker started")
        await until(database, "select exists (select from public.queue where kind = 'callback' and error is not null)")
        async with asyncio.timeout(PATIENCE):
            assert (await worker.stop(), await api.stop()) == (0, 0)
    assert collector.seen
    await collector.stop()
