"""The health line with running processes: a killed worker, and a mail server that refuses all mails."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from embedded.stack import Ready
from tests.support.operators import KEYS, ROOT_KEY
from tests.support.processes import api_process, start_api, worker_process

NOWHERE = {"GRACE_PERIOD": "0.1", "ARXIV_BASE_URL": "http://127.0.0.1:9", "FEEDS": "none=http://127.0.0.1:9/rss"}
STARTED = "worker started"


@pytest.fixture
async def api(stack: Ready, database: asyncpg.Connection) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001  (database_reset)
    process = api_process(stack, API_KEYS=KEYS, ADMINS="root")
    address = await start_api(process)
    headers = {"X-API-Key": ROOT_KEY}
    async with httpx.AsyncClient(base_url=address, headers=headers, trust_env=False, timeout=30) as http:
        yield http
    assert await process.stop() == 0


async def conditions(api: httpx.AsyncClient) -> dict[str, Any]:
    """The problems by condition."""
    return {each["condition"]: each for each in (await api.get("/v1/admin/health")).json()["problems"]}


async def seen(api: httpx.AsyncClient, name: str, *, holds: bool) -> None:
    """Wait until a condition holds, or no longer."""
    async with asyncio.timeout(60):
        while (name in await conditions(api)) is not holds:
            await asyncio.sleep(0.2)


async def test_a_killed_worker_is_a_problem_until_another_runs(stack: Ready, api: httpx.AsyncClient) -> None:
    assert "no_worker" in await conditions(api)
    worker = worker_process(stack, **NOWHERE)
    await worker.start(STARTED)
    await seen(api, "no_worker", holds=False)
    assert await worker.stop(signal.SIGKILL) != 0
    await seen(api, "no_worker", holds=True)
    problem = (await conditions(api))["no_worker"]
    assert problem["text"].startswith("No worker is alive: no task is processed. The last one, ")
    assert problem["since"] is not None
    assert 'broadsheet_condition{condition="no_worker",severity="critical"} 1.0' in (await api.get("/metrics")).text
    another = worker_process(stack, **NOWHERE)
    await another.start(STARTED)
    await seen(api, "no_worker", holds=False)
    assert await another.stop() == 0
