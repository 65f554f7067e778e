"""The attempts of a task that did not succeed are stored, the last ten; one that succeeds writes nothing more."""

import json
from collections import Counter
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.operator_tasks import Attempt, OperatorTasks
from app.persistence.outcomes import Cancelled, Completed, Failed, Outcome, Released, Snoozed
from app.persistence.tasks import TaskStateManager
from tests.support.tasks import SOON, Claimer, create, expire_lease

SYNC = (
    "select public.sync_worker($1, $2, 30, array['fetch'], array[1], $3, $4::text::jsonb, '[]', '[]', 'w1', '1')::text"
)
INSERT = "select public.create_tasks('ada', $1::text::jsonb, false, null)"
WRITTEN = """
select relname, n_tup_ins as inserted, n_tup_upd as updated, n_tup_del as deleted,
       coalesce(idx_scan, 0) + seq_scan as scans
  from pg_stat_xact_user_tables where schemaname = 'public' and n_tup_ins + n_tup_upd + n_tup_del + seq_scan
       + coalesce(idx_scan, 0) > 0"""


async def attempts(client: AsyncClient, task_id: UUID) -> tuple[Attempt, ...]:
    return (await OperatorTasks(client).details(task_id)).attempts


async def written(database: asyncpg.Connection) -> dict[str, int]:
    """How often this session wrote rows of each table, and scanned it."""
    rows = await database.fetch(WRITTEN)
    return {
        f"{row['relname']} {name}": row[name] for row in rows for name in ("inserted", "updated", "deleted", "scans")
    }


async def test_each_attempt_that_did_not_succeed_is_stored(client: AsyncClient, database: asyncpg.Connection) -> None:
    worker, task = Claimer(client, kinds=[TaskKind.FETCH]), await create(client)
    for outcome in (Failed("HTTP 503", SOON), Snoozed(SOON, "arXiv is busy"), Failed("x" * 5000, SOON)):
        await worker.finish(await worker.claim_one(), outcome)
    await worker.finish(await worker.claim_one(), Completed({}))
    found = await attempts(client, task.task_id)
    assert [(each.outcome, each.attempt, each.error) for each in found] == [
        ("failed", 2, "x" * 2000),
        ("snoozed", 2, "arXiv is busy"),
        ("failed", 1, "HTTP 503"),
    ]
    host = await database.fetchval("select host from public.workers")
    for each in found:
        assert (each.worker_id, each.host) == (worker.worker_id, host)
        assert each.started_at is not None
        assert timedelta(0) <= each.ended_at - each.started_at < timedelta(minutes=5)
        assert each.started_at >= task.created_at - timedelta(milliseconds=1)


async def test_an_attempt_of_a_lost_worker_is_stored(client: AsyncClient, database: asyncpg.Connection) -> None:
    lost, other, task = Claimer(client), Claimer(client), await create(client)
    await other.sync()
    claimed = await lost.claim_one()
    await expire_lease(database, task.task_id)
    await other.sync()
    assert await lost.finish(claimed, Failed("too late", SOON)) == "lost"
    (found,) = await attempts(client, task.task_id)
    assert (found.outcome, found.worker_id, found.attempt) == ("lost", lost.worker_id, 1)
    assert found.started_at is not None


@pytest.mark.parametrize("outcome", [Completed({}), Cancelled(), Released()])
async def test_other_outcomes_store_no_attempt(outcome: Outcome, client: AsyncClient) -> None:
    worker, task = Claimer(client), await create(client)
    assert await worker.finish(await worker.claim_one(), outcome) == "applied"
    assert await attempts(client, task.task_id) == ()


async def test_the_last_ten_attempts_of_each_task_are_kept(client: AsyncClient, database: asyncpg.Connection) -> None:
    worker, task, other = Claimer(client), await create(client), await create(client)
    for number in range(13):
        claimed = await worker.claim(2)
        outcomes: dict[UUID, Outcome] = {
            task.task_id: Snoozed(SOON, f"reason {number}"),
            other.task_id: Snoozed(SOON if number < 6 else timedelta(days=1), "other"),
        }
        await worker.sync({each.lease: outcomes[each.task_id] for each in claimed})
    found = await attempts(client, task.task_id)
    assert [each.error for each in found] == [f"reason {number}" for number in range(12, 2, -1)]
    assert len(await attempts(client, other.task_id)) == 7
    await database.execute("delete from public.queue where task_id = $1", task.task_id)
    await database.execute("delete from public.tasks where task_id = $1", task.task_id)
    assert await database.fetchval("select count(*) from public.task_attempts") == 7, "they go with their task"


async def test_a_cancelled_attempt_that_failed_is_stored(client: AsyncClient) -> None:
    worker, task = Claimer(client), await create(client)
    claimed = await worker.claim_one()
    await TaskStateManager(client).cancel_task(task.task_id)
    await worker.finish(claimed, Failed("broken", SOON))
    assert [each.error for each in await attempts(client, task.task_id)] == ["broken"]


async def test_an_attempt_that_succeeds_writes_no_more_rows(database: asyncpg.Connection) -> None:
    """One insert and one update or delete of each row of a task, and nothing in the table of attempts."""
    worker, task_id = uuid4(), uuid4()
    await database.fetchval(SYNC, worker, 1, 0, "[]")
    task = {"task_id": str(task_id), "kind": "fetch", "payload": {}, "priority": 1, "delay_seconds": 0,
            "max_attempts": 5, "request_hash": ""}  # fmt: skip
    async with database.transaction():
        # Statistics that the session has not reported yet count too.
        before = Counter(await written(database))
        await database.fetchval(INSERT, json.dumps([task]))
        claimed = json.loads(await database.fetchval(SYNC, worker, 2, 1, "[]"))
        done = {"task_id": str(task_id), "lease_token": claimed["token"], "result": {}}
        response = json.loads(await database.fetchval(SYNC, worker, 3, 0, json.dumps([done])))
        assert response["response"]["outcomes"] == []
        counts = Counter(await written(database)) - before
    assert {name: count for name, count in counts.items() if not name.endswith(" scans")} == {
        "tasks inserted": 1, "tasks updated": 1,
        "queue inserted": 1, "queue updated": 1, "queue deleted": 1,
        "worker_calls inserted": 2, "worker_calls deleted": 2,
    }  # fmt: skip
    assert counts["task_attempts scans"] == 0, "not even read"


async def test_a_lease_token_contains_the_time_of_its_claim(database: asyncpg.Connection) -> None:
    at = await database.fetchval("select timestamptz '2026-03-04 05:06:07.891234+00'")
    token = await database.fetchval("select public.new_lease_token($1)", at)
    another = await database.fetchval("select public.new_lease_token($1)", at)
    assert token != another
    assert (token.version, token.variant) == (7, uuid4().variant)
    assert await database.fetchval("select public.claim_time($1)", token) == at.replace(microsecond=891000)
    assert await database.fetchval("select public.claim_time($1)", uuid4()) is None
