"""The end of a task wakes all tasks that wait for it, also those that begin to wait while it ends."""

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.outcomes import Completed, Failed, Outcome, Snoozed
from app.persistence.tasks import TaskStateManager
from tests.support.tasks import DAY, Claimer, create, expire_lease, insert_tasks

HOUR = timedelta(hours=1)
MANY, MORE_THAN_ONE_WAKING = 200, 1_300
ROUNDS = 50


async def waiting(client: AsyncClient, database: asyncpg.Connection, fetch_id: UUID, count: int) -> Claimer:
    """Let `count` digests wait for a fetch; returns the worker that ran them."""
    await insert_tasks(database, count, kind="digest")
    worker = Claimer(client, kinds=[TaskKind.DIGEST])
    claimed_task = await worker.claim(count)
    assert len(claimed_task) == count
    await worker.sync({task.lease: Snoozed(HOUR, "waiting", fetch_id) for task in claimed_task})
    assert await worker.claim(count) == ()
    return worker


ENDS: dict[str, Outcome] = {"completed": Completed({}), "failed": Failed("no", None)}


@pytest.mark.parametrize("end", [*ENDS, "cancelled", "worker lost"])
async def test_every_end_wakes_the_waiting_tasks(end: str, client: AsyncClient, database: asyncpg.Connection) -> None:
    fetch = await create(client, max_attempts=1)
    fetcher, watcher = Claimer(client, kinds=[TaskKind.FETCH]), Claimer(client, kinds=[])
    await watcher.sync()
    if end == "cancelled":
        digests = await waiting(client, database, fetch.task_id, MANY)
        await TaskStateManager(client).cancel_task(fetch.task_id)
    else:
        claimed_task = await fetcher.claim_one()
        digests = await waiting(client, database, fetch.task_id, MANY)
        if end == "worker lost":
            await expire_lease(database, fetch.task_id)
            await watcher.sync()
        else:
            await fetcher.sync({claimed_task.lease: ENDS[end]})
    woken = await digests.claim(MANY)
    assert (len(woken), {task.attempt for task in woken}) == (MANY, {1})


async def test_a_retry_of_a_dependency_wakes_no_waiting_task(client: AsyncClient, database: asyncpg.Connection) -> None:
    fetch, fetcher = await create(client), Claimer(client, kinds=[TaskKind.FETCH])
    claimed_task = await fetcher.claim_one()
    digests = await waiting(client, database, fetch.task_id, 3)
    await fetcher.sync({claimed_task.lease: Failed("busy", HOUR)})
    assert await digests.claim(3) == ()


async def test_tasks_beyond_one_batch_are_woken_by_the_next_call(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    fetch, fetcher = await create(client), Claimer(client, kinds=[TaskKind.FETCH])
    claimed_task = await fetcher.claim_one()
    digests = await waiting(client, database, fetch.task_id, MORE_THAN_ONE_WAKING)
    await fetcher.sync({claimed_task.lease: Completed({})})
    woken = 0
    for _ in range(3):
        woken += len(await digests.claim(MORE_THAN_ONE_WAKING))
    assert woken == MORE_THAN_ONE_WAKING


async def test_a_task_that_waits_after_the_end_does_not_sleep(client: AsyncClient) -> None:
    fetch = await create(client)
    await TaskStateManager(client).cancel_task(fetch.task_id)
    await create(client, kind=TaskKind.DIGEST)
    worker = Claimer(client)
    claimed_task = await worker.claim_one()
    (again,) = (await worker.sync({claimed_task.lease: Snoozed(HOUR, "waiting", fetch.task_id)}, slots=1)).claimed
    assert (again.task_id, again.attempt) == (claimed_task.task_id, 1)


async def test_a_concurrent_end_leaves_no_task_sleeping(client: AsyncClient, database: asyncpg.Connection) -> None:
    """Five workers snooze digests while a sixth ends the fetch that they wait for; fifty times."""
    fetcher = Claimer(client, kinds=[TaskKind.FETCH])
    workers = [Claimer(client, kinds=[TaskKind.DIGEST]) for _ in range(5)]
    for number in range(ROUNDS):
        fetch = await create(client, source_date=DAY + timedelta(days=number))
        claimed_task = await fetcher.claim_one()
        await insert_tasks(database, 20, kind="digest")
        hands = [(worker, await worker.claim(4)) for worker in workers]
        sleeping = [
            worker.sync({task.lease: Snoozed(HOUR, "waiting", fetch.task_id) for task in tasks})
            for worker, tasks in hands
        ]
        await asyncio.gather(*sleeping, fetcher.sync({claimed_task.lease: Completed({})}))
        woken = await workers[0].claim(20)
        assert len(woken) == 20, f"round {number}"
        await workers[0].sync({task.lease: Completed({}) for task in woken})
