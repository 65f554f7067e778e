"""A failing callback with the real worker and database: retried for days, and never before its `Retry-After`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random
from uuid import UUID, uuid4

import asyncpg
import pytest
from standardwebhooks import Webhook
from supabase import AsyncClient

from app.external.callback_sender import CallbackSender
from app.external.client import open_external
from app.models.tasks import TaskKind
from app.persistence.queue import TaskQueue
from app.persistence.tasks import TaskStateManager
from tests.support.scripted_server import ScriptedServer, Step, answer
from tests.support.tasks import create, record
from worker.handlers.callback import SCHEDULE, CallbackHandler, callback_retry_delay
from worker.job import Handler
from worker.runner import Worker, WorkerLimits

LEASE = timedelta(seconds=60)


@pytest.fixture
async def worker(client: AsyncClient) -> AsyncIterator[Worker]:
    """The real worker, only for callbacks, which may call this machine."""
    queue = TaskQueue(client, worker_id=uuid4(), kinds=[TaskKind.CALLBACK], lease=LEASE)
    async with open_external() as http:
        sender = CallbackSender(http, [Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")], private=True)
        handler = Handler(CallbackHandler(sender), timedelta(seconds=30), callback_retry_delay)
        yield Worker(
            queue,
            {TaskKind.CALLBACK: handler},
            WorkerLimits(5, lease=LEASE, grace=timedelta(0)),
            random=Random(3),
            on_outcome=lambda *_: None,
        )


async def called_back(client: AsyncClient, database: asyncpg.Connection, *steps: Step) -> tuple[UUID, ScriptedServer]:
    """End a task with a callback to a server with these responses; returns the callback's id."""
    server = ScriptedServer(*steps)
    await server.start()
    task = await create(client, callback_url=f"{server.url}/hook?token=s3cret")
    await TaskStateManager(client).cancel_task(task.task_id)
    return await database.fetchval("select task_id from public.tasks where kind = 'callback'"), server


async def worked(worker: Worker, database: asyncpg.Connection, callback: UUID, attempt: int) -> None:
    """Let the worker make an attempt and report it."""
    found = await record(database, callback)
    while found["attempt"] != attempt or found["status"] == "running":
        await worker.run_once()
        await asyncio.sleep(0.01)
        found = await record(database, callback)


async def test_a_receiver_that_is_down_is_retried_for_days(
    client: AsyncClient, database: asyncpg.Connection, worker: Worker
) -> None:
    callback, server = await called_back(client, database, answer(500, "no"))
    planned = timedelta()
    for attempt, delay in enumerate(SCHEDULE, start=1):
        await worked(worker, database, callback, attempt)
        waits = await database.fetchval("select run_at - updated_at from public.queue where task_id = $1", callback)
        assert 0.79 * delay <= waits <= 1.21 * delay, f"after attempt {attempt}"
        planned += waits
        await database.execute("update public.queue set run_at = now() where task_id = $1", callback)
    assert (await record(database, callback))["status"] == "pending"
    await worked(worker, database, callback, len(SCHEDULE) + 1)
    ended = await record(database, callback)
    await server.stop()
    assert planned > timedelta(hours=24)
    assert ended["status"] == "failed"
    assert "127.0.0.1 responded with 500" in ended["error"]
    assert "s3cret" not in ended["error"]


async def test_retry_after_is_respected_and_the_callback_keeps_its_id(
    client: AsyncClient, database: asyncpg.Connection, worker: Worker
) -> None:
    busy = answer(503, "busy", headers="Retry-After: 3600\r\n")
    callback, server = await called_back(client, database, busy, answer(204, ""))
    await worked(worker, database, callback, 1)
    waits = await database.fetchval("select run_at - updated_at from public.queue where task_id = $1", callback)
    assert waits == timedelta(hours=1)
    await database.execute("update public.queue set run_at = now() where task_id = $1", callback)
    await worked(worker, database, callback, 2)
    await server.stop()
    assert (await record(database, callback))["status"] == "completed"
    ids = {line for head in server.heads for line in head.splitlines() if line.lower().startswith("webhook-id")}
    assert len(server.heads) == 2
    assert len(ids) == 1
