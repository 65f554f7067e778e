"""Leases of a worker: renewed while it works, and given up when they are lost."""

import asyncio
import json

import asyncpg
import pytest
from supabase import AsyncClient

from app.persistence.outcomes import Completed
from app.persistence.tasks import TaskStateManager
from tests.support.proxy import Gate, Proxy
from tests.support.running_worker import BlockedHandler, StartWorker, until, until_calls, until_ended
from tests.support.tasks import Claimer, create, expire_lease

OWN = "(select worker_id from public.queue where task_id = $1)"


async def test_a_worker_renews_the_leases_of_its_running_tasks(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    handler = BlockedHandler()
    await start_worker(handler)
    task = await create(client)
    await handler.begun.wait()
    peer = Claimer(client)
    for _ in range(3):
        # Six tenths of a lease pass twice: without a heartbeat, the lease would expire.
        await database.execute(
            f"update public.workers set seen_at = seen_at - lease * 0.6 where worker_id = {OWN}", task.task_id
        )
        assert await peer.claim() == ()
        shown = f"select seen_at > now() - lease / 10 from public.workers where worker_id = {OWN}"
        await until(database, shown, task.task_id)
        await database.execute(
            "update public.workers set seen_at = seen_at - lease / 5 where worker_id = $1", peer.worker_id
        )
    assert await peer.claim() == ()
    handler.may_end.set()
    row = await until_ended(database, task.task_id)
    assert (row["status"], row["attempt"], handler.cancelled.is_set()) == ("completed", 1, False)


@pytest.mark.parametrize("deaf", [False, True], ids=["a handler that ends", "a handler that is deaf and finishes"])
async def test_a_lost_lease_cancels_the_job_and_drops_its_outcome(
    deaf: bool, client: AsyncClient, database: asyncpg.Connection, proxy: Proxy, start_worker: StartWorker
) -> None:
    proxy.before = gate = Gate()
    handler, peer = BlockedHandler(deaf=deaf), Claimer(client)
    worker = await start_worker(handler, url=proxy.url)
    task = await create(client)
    await handler.begun.wait()
    gate.close()
    await gate.is_blocking.wait()
    await peer.sync()  # a heartbeat, so that this is no outage
    await expire_lease(database, task.task_id)
    await peer.sync()  # reclaims it
    (taken,) = await peer.claim()
    gate.open()
    await asyncio.wait_for(handler.cancelled.wait(), 30)
    while worker.running_tasks:
        await asyncio.sleep(0)
    if deaf:
        await until_calls(worker, worker.calls + 2)  # its outcome was sent and has a response
    assert await peer.finish(taken, Completed({"by": "the peer"})) == "applied"
    row = await until_ended(database, task.task_id)
    assert (row["status"], row["attempt"], json.loads(row["result"])) == ("completed", 2, {"by": "the peer"})
    assert len(worker.outcomes) == int(deaf)


async def test_a_cancel_request_cancels_the_handler(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    handler = BlockedHandler()
    worker = await start_worker(handler)
    task = await create(client)
    await handler.begun.wait()
    await TaskStateManager(client).cancel_task(task.task_id)
    row = await until_ended(database, task.task_id)
    assert (row["status"], row["attempt"], handler.cancelled.is_set()) == ("cancelled", 1, True)
    assert worker.running_tasks == 0
