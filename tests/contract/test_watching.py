"""The query for watched tasks: every change is returned once, and no limit loses one."""

import json
from collections.abc import Awaitable
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
from supabase import AsyncClient

from app.models.tasks import Task, TaskKind
from app.persistence.outcomes import Completed, Lease, Snoozed
from app.persistence.queue import Progress
from app.persistence.tasks import TaskStateManager
from app.persistence.watched_tasks import UNKNOWN, WatchedTasks
from tests.contract.query_plans import buffers, explained
from tests.support.tasks import Claimer, create, expire_lease, insert_tasks

HOUR = timedelta(hours=1)


class Watch:
    """Queries one task, each time with the version of the previous response."""

    def __init__(self, client: AsyncClient, task_id: UUID) -> None:
        self._tasks = WatchedTasks(client)
        self._known = {task_id: UNKNOWN}

    async def news(self) -> Task | None:
        changes = await self._tasks.changes(self._known)
        assert changes.gone == []
        for change in changes.changed:
            self._known[change.task.task_id] = change.version
            return change.task
        return None

    async def sees(self, change: Awaitable[object]) -> Task:
        """Change the task: the change is returned once."""
        assert await self.news() is None
        await change
        news = await self.news()
        assert news is not None
        assert await self.news() is None
        return news


async def test_every_visible_change_is_reported_once(client: AsyncClient, database: asyncpg.Connection) -> None:
    fetch, digest = await create(client), await create(client, kind=TaskKind.DIGEST)
    watch, tasks = Watch(client, digest.task_id), TaskStateManager(client)
    worker, bystander = Claimer(client, kinds=[TaskKind.DIGEST]), Claimer(client)
    for _ in range(2):
        await bystander.sync()  # sends a heartbeat, so that this is no outage
    assert await watch.news() == await tasks.get_task(digest.task_id)

    async def claim() -> None:
        leases.append((await worker.claim_one()).lease)

    async def lose() -> None:
        await expire_lease(database, digest.task_id)
        await bystander.sync()

    leases: list[Lease] = []
    assert (await watch.sees(claim())).status == "running"
    for step, message in ((0.5, "half"), (0.5, "half and a bit"), (0.75, "half and a bit")):
        shown = await watch.sees(worker.sync(progress={leases[-1]: Progress(message, step)}))
        assert (shown.progress, shown.message) == (step, message)
    snoozed = await watch.sees(worker.sync({leases[-1]: Snoozed(HOUR, "waits", fetch.task_id)}))
    woken = await watch.sees(tasks.cancel_task(fetch.task_id))
    assert (snoozed.status, woken.status) == ("pending", "pending")
    assert woken.run_at < snoozed.run_at
    await watch.sees(claim())
    assert "worker lost" in str((await watch.sees(lose())).error)
    await watch.sees(claim())
    assert (await watch.sees(tasks.cancel_task(digest.task_id))).cancel_requested
    ended = await watch.sees(worker.sync({leases[-1]: Completed({})}))
    assert (ended.status, ended) == ("completed", await tasks.get_task(digest.task_id))


async def test_row_limits_and_url_length_do_not_limit_watched_tasks(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 1_900)
    there = [row["task_id"] for row in await database.fetch("select task_id from public.tasks")]
    gone = [uuid4() for _ in range(100)]
    changes = await WatchedTasks(client).changes(dict.fromkeys(there + gone, UNKNOWN))
    assert {change.task.task_id for change in changes.changed} == set(there)
    assert set(changes.gone) == set(gone)
    known = {change.task.task_id: change.version for change in changes.changed}
    await database.execute("update public.queue set progress = 0.1, updated_at = now() where task_id = $1", there[7])
    again = await WatchedTasks(client).changes(known)
    assert [change.task.task_id for change in again.changed] == [there[7]]


async def test_other_tasks_add_no_cost_to_watching(database: asyncpg.Connection) -> None:
    await insert_tasks(database, 500)
    ids = [str(row["task_id"]) for row in await database.fetch("select task_id from public.tasks")]
    await insert_tasks(database, 100_000, status="completed")
    await insert_tasks(database, 20_000)
    await database.execute("vacuum analyze public.tasks, public.queue")
    plan = await explained(database, f"select public.watch_tasks('{json.dumps(dict.fromkeys(ids, ''))}')")
    # Two indexes of three levels, and their rows.
    assert buffers(plan) < 10 * len(ids)
