"""A replayed task starts from the beginning: nothing of its earlier attempts, waits and requests counts."""

from datetime import timedelta

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskKind, TaskStatus
from app.persistence.operator import Operator
from app.persistence.outcomes import Failed, Snoozed
from app.persistence.tasks import TaskStateManager
from tests.contract.actors import by
from tests.support.tasks import Claimer, create

USED = """
update public.queue set run_at = now() + interval '1 day', attempt = 3, started_at = now() - interval '1 hour',
       cancel_requested = true, waits_for = gen_random_uuid(), snoozed_since = now() - interval '2 days',
       progress = 0.5, message = 'ranking'
 where task_id = $1
"""
OWN = {"task_id", "run_at", "updated_at"}
"""What differs between two new tasks."""
KEPT = {"error"}
"""The last error stays, until another attempt fails: operators look for it."""


@pytest.mark.parametrize("table", ["queue", "tasks"])
async def test_a_replayed_task_is_like_a_new_one(client: AsyncClient, database: asyncpg.Connection, table: str) -> None:
    replayed, worker = await create(client, max_attempts=5), Claimer(client)
    await worker.finish(await worker.claim_one(), Failed("broken", None))
    await database.execute(USED, replayed.task_id)
    await Operator(client).replay(by(), replayed.task_id)
    new = await create(client, max_attempts=5)
    query = f"select * from public.{table} where task_id = $1"
    rows = [await database.fetchrow(query, task.task_id) for task in (new, replayed)]
    assert rows[0] is not None
    assert rows[1] is not None
    differences = {name for name in rows[0].keys() if rows[0][name] != rows[1][name]}  # noqa: SIM118  (a record's)
    if table == "queue":
        assert differences == {*OWN, *KEPT}
    else:
        assert differences == {"task_id", "created_at", "replays", "replayed_at"}


async def test_a_task_that_waited_too_long_waits_again(client: AsyncClient, database: asyncpg.Connection) -> None:
    task, worker = await create(client), Claimer(client, kinds=[TaskKind.FETCH])
    tasks, waiting = TaskStateManager(client), Snoozed(timedelta(0), "waiting for arXiv")
    await worker.finish(await worker.claim_one(), waiting)
    await database.execute("update public.queue set snoozed_since = now() - interval '25 hours'")
    await worker.finish(await worker.claim_one(), waiting)
    assert (await tasks.get_task(task.task_id)).status is TaskStatus.FAILED
    await Operator(client).replay(by(), task.task_id)
    await worker.finish(await worker.claim_one(), waiting)
    assert (await tasks.get_task(task.task_id)).status is TaskStatus.PENDING
