"""Shutdown: a handler that ignores its cancellation does not prevent the end of the worker."""

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs
from supabase import AsyncClient

import worker.runner
from tests.support.running_worker import StartWorker
from tests.support.tasks import create
from worker.job import Job


async def test_an_uncancellable_handler_does_not_delay_the_shutdown(
    client: AsyncClient,
    database: asyncpg.Connection,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker.runner, "RELEASE_TIMEOUT", 0.2)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def deaf(_job: Job) -> dict[str, Any]:
        begun.set()
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue
        return {}

    running = await start_worker(deaf)
    task = await create(client)
    await begun.wait()
    await running.stop()
    assert running.running_tasks == 1
    assert (
        await database.fetchval("select status from public.task_records where task_id = $1", task.task_id) == "running"
    )
    may_end.set()
    while running.running_tasks:
        await asyncio.sleep(0)


async def test_an_uncancellable_handler_past_its_limit_is_named_once(
    client: AsyncClient, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.runner, "RELEASE_TIMEOUT", 0.2)
    may_end = asyncio.Event()

    async def deaf(_job: Job) -> dict[str, Any]:
        while not may_end.is_set():
            with suppress(asyncio.CancelledError):
                await may_end.wait()
        return {}

    with capture_logs() as log:
        running = await start_worker(deaf, time_limit=0.05)
        task = await create(client)
        while not (named := [record for record in log if "keeps its slot" in record["event"]]):
            await asyncio.sleep(0.05)
        may_end.set()
        while running.running_tasks:
            await asyncio.sleep(0.05)
    assert [record["task"] for record in named] == [f"fetch {task.task_id}"]
    assert [record for record in log if "keeps its slot" in record["event"]] == named
