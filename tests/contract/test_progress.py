"""A task's progress never decreases, whatever its attempts end with and whichever process reads it."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import Task, TaskKind
from app.persistence.operator import Actor, Operator
from app.persistence.outcomes import Failed, Outcome, Released, Snoozed
from app.persistence.queue import Progress
from app.persistence.tasks import TaskStateManager
from app.persistence.watched_tasks import Changes, WatchedTasks
from app.task_hub import TaskHub
from tests.support.tasks import Claimer, create, expire_lease

NOW = timedelta(0)
ENDS: dict[str, Outcome] = {"retried": Failed("busy", NOW), "snoozed": Snoozed(NOW, "waits"), "released": Released()}


async def shown(client: AsyncClient, task_id: UUID) -> tuple[float, str | None]:
    task = await TaskStateManager(client).get_task(task_id)
    return task.progress, task.message


@pytest.mark.parametrize("end", [*ENDS, "worker lost"])
async def test_a_later_attempt_keeps_the_highest_progress(
    end: str, client: AsyncClient, database: asyncpg.Connection
) -> None:
    task, worker, other = await create(client), Claimer(client, kinds=[TaskKind.FETCH]), Claimer(client, kinds=[])
    await other.sync()  # sends a heartbeat, so that this is no outage
    first = await worker.claim_one()
    await worker.sync(progress={first.lease: Progress("nearly", 0.75)})
    if end == "worker lost":
        await expire_lease(database, task.task_id)
        await other.sync()
    else:
        await worker.sync({first.lease: ENDS[end]})
    assert (await shown(client, task.task_id))[0] == 0.75
    second = await worker.claim_one()
    await worker.sync(progress={second.lease: Progress("from the start", 0.125)})
    assert await shown(client, task.task_id) == (0.75, "from the start")
    await worker.sync(progress={second.lease: Progress("further", 0.875)})
    assert await shown(client, task.task_id) == (0.875, "further")


async def test_a_lower_progress_report_changes_only_the_message(client: AsyncClient) -> None:
    task, worker = await create(client), Claimer(client)
    claimed = await worker.claim_one()
    for message, step in (("half", 0.5), ("less", 0.25)):
        await TaskStateManager(client).update_task(
            task.task_id, lease_token=claimed.lease.lease_token, message=message, progress=step
        )
    assert await shown(client, task.task_id) == (0.5, "less")


async def test_a_failed_task_keeps_its_progress_and_a_replay_resets_it(client: AsyncClient) -> None:
    task, worker = await create(client), Claimer(client)
    claimed = await worker.claim_one()
    await worker.sync(progress={claimed.lease: Progress("half", 0.5)})
    await worker.sync({claimed.lease: Failed("no", None)})
    assert (await shown(client, task.task_id))[0] == 0.5
    await Operator(client).replay(Actor(uuid4(), "root"), task.task_id)
    assert await shown(client, task.task_id) == (0, None)


class SlowTasks(WatchedTasks):
    """The real queries, whose responses the test can delay."""

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(client)
        self.read = asyncio.Semaphore(0)
        self.let_go = asyncio.Semaphore(0)

    async def changes(self, known: Mapping[UUID, str]) -> Changes:
        found = await super().changes(known)
        self.read.release()
        await self.let_go.acquire()
        return found


async def test_a_watcher_gets_no_event_older_than_what_it_has_read(client: AsyncClient) -> None:
    """The hub's call for another caller is running when this caller reads the task and begins to watch it."""
    tasks, worker, slow = TaskStateManager(client), Claimer(client), SlowTasks(client)
    task = await create(client)
    claimed = await worker.claim_one()
    hub, updates = TaskHub(slow), list[Task]()
    async with hub.running(), asyncio.timeout(30):
        with hub.watching(await tasks.get_task(task.task_id)):
            await slow.read.acquire()  # it has read progress 0
            await worker.sync(progress={claimed.lease: Progress("half", 0.5)})
            with hub.watching(await tasks.get_task(task.task_id)) as late:
                slow.let_go.release()
                await slow.read.acquire()  # the old response has been delivered
                updates.append(late.task)
                await worker.sync(progress={claimed.lease: Progress("further", 0.75)})
                slow.let_go.release()
                slow.let_go.release()
                while late.task.progress < 0.75:
                    slow.let_go.release()
                    await late.wait_for_update(1)
                    updates.append(late.task)
    assert updates[0].progress == 0.5
    assert [each.progress for each in updates] == sorted(each.progress for each in updates)
