"""Results that JSON or PostgreSQL refuse, or that are too large, do not prevent other outcomes."""

import json

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskStatus
from app.persistence.json_values import MAX_RESULT_BYTES
from app.persistence.outcomes import Completed, Failed
from app.persistence.tasks import TaskStateManager
from tests.support.tasks import Claimer, create, insert_tasks


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        ({"text": "a\0b"}, {"text": "ab"}),
        ({"text": "\ud800 alone"}, {"text": "\ufffd alone"}),
        ({"n": float("nan"), "i": float("inf")}, {"n": None, "i": None}),
        ({"key\0": [{"deep": "\0"}]}, {"key": [{"deep": ""}]}),
    ],
    ids=["zero byte", "lone surrogate", "not a number", "deep"],
)
async def test_hostile_values_are_cleaned(
    result: dict[str, object], kept: dict[str, object], client: AsyncClient, database: asyncpg.Connection
) -> None:
    task, worker = await create(client), Claimer(client)
    await worker.finish(await worker.claim_one(), Completed(result))
    assert (await TaskStateManager(client).get_task(task.task_id)).status is TaskStatus.COMPLETED
    stored = await database.fetchval("select result from public.tasks where task_id = $1", task.task_id)
    assert json.loads(stored) == kept


@pytest.mark.parametrize("result", [{"text": "x" * 5_000_000}, {"object": object()}], ids=["5 MB", "no JSON"])
async def test_a_result_that_cannot_be_stored_fails_only_its_task(
    result: dict[str, object], client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 10)
    worker = Claimer(client)
    culprit, *others = await worker.claim(10)
    await worker.sync({culprit.lease: Completed(result)} | {task.lease: Completed({"ok": 1}) for task in others})
    ended = await TaskStateManager(client).get_task(culprit.task_id)
    assert ended.status is TaskStatus.FAILED
    assert "the result" in (ended.error or "")
    assert await database.fetchval("select count(*) from public.tasks where status = 'completed'") == 9


async def test_hostile_errors_and_progress_are_cleaned(client: AsyncClient) -> None:
    task, worker = await create(client), Claimer(client)
    claimed = await worker.claim_one()
    tasks = TaskStateManager(client)
    await tasks.update_task(task.task_id, lease_token=claimed.lease.lease_token, message="a\0\udfff", progress=7.0)
    assert (await tasks.get_task(task.task_id)).message == "a\ufffd"
    await worker.finish(claimed, Failed("x\0" * 10_000, None))
    assert len((await tasks.get_task(task.task_id)).error or "") == 2000


def test_a_digest_fits_well_below_the_limit() -> None:
    assert MAX_RESULT_BYTES >= 10 * 100_000, "pages of 100 kB are allowed"
