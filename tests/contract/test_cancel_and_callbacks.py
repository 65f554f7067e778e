"""Cancellation, and the callback of each end: both are written together or not at all."""

import asyncio
import json
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import SupabaseRejected, TaskNotFound
from app.models.tasks import TaskKind, TaskStatus
from app.persistence.idempotency_keys import CallerKey
from app.persistence.outcomes import Cancelled, Completed, Failed, Released, Snoozed
from app.persistence.tasks import TaskStateManager
from tests.support.tasks import SOON, Claimer, create, expire_lease, row, somebody_waits

URL = "https://example.com/hook"


async def test_cancel_ends_pending_signals_running_and_keeps_finished(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    tasks, worker = TaskStateManager(client), Claimer(client)
    pending = await create(client, priority=3)
    running = await create(client)
    claimed_task = await worker.claim_one()
    assert (await tasks.cancel_task(pending.task_id)).status is TaskStatus.CANCELLED
    request = await tasks.cancel_task(running.task_id)
    assert (request.status, request.cancel_requested) == (TaskStatus.RUNNING, True)
    assert (await Claimer(client).sync()).cancel == ()
    assert [lease.task_id for lease in (await worker.sync()).cancel] == [running.task_id]
    assert await worker.finish(claimed_task, Completed({"x": 1})) == "applied"
    before = await row(database, running.task_id)
    assert (await tasks.cancel_task(running.task_id)).status is TaskStatus.COMPLETED, (
        "a completion takes precedence over a cancel request"
    )
    assert await row(database, running.task_id) == before


@pytest.mark.parametrize("outcome", [Released(), Snoozed(SOON, "later"), Failed("no", SOON), Cancelled()], ids=repr)
async def test_a_cancelled_task_ends_instead_of_returning_to_the_queue(outcome: object, client: AsyncClient) -> None:
    task, worker = await create(client), Claimer(client)
    claimed_task = await worker.claim_one()
    await TaskStateManager(client).cancel_task(task.task_id)
    assert isinstance(outcome, Released | Snoozed | Failed | Cancelled)
    await worker.finish(claimed_task, outcome)
    assert (await TaskStateManager(client).get_task(task.task_id)).status is TaskStatus.CANCELLED


async def test_a_task_with_a_message_can_be_cancelled(client: AsyncClient) -> None:
    """The pinned client treats an rpc response with a top-level `message` as an error."""
    task, tasks = await create(client), TaskStateManager(client)
    claimed_task = await Claimer(client).claim_one()
    await tasks.update_task(task.task_id, lease_token=claimed_task.lease.lease_token, message="ranking", progress=0.5)
    assert (await tasks.cancel_task(task.task_id)).message == "ranking"


async def test_unknown_task_is_not_found(client: AsyncClient) -> None:
    for call in (TaskStateManager(client).cancel_task, TaskStateManager(client).get_task):
        with pytest.raises(TaskNotFound):
            await call(uuid4())


async def callbacks_of(database: asyncpg.Connection, task_id: UUID) -> list[dict[str, str]]:
    found = await database.fetch(
        "select payload -> 'event' as event from public.tasks where kind = 'callback' and parent = $1",
        task_id,
    )
    return [json.loads(record["event"]) for record in found]


@pytest.mark.parametrize("way", ["completed", "failed", "worker lost", "cancelled pending", "cancelled running"])
async def test_every_end_creates_one_callback(way: str, client: AsyncClient, database: asyncpg.Connection) -> None:
    task = await create(client, callback_url=URL, max_attempts=1)
    tasks, worker = TaskStateManager(client), Claimer(client, kinds=[TaskKind.FETCH])
    await worker.sync()
    if way == "cancelled pending":
        await tasks.cancel_task(task.task_id)
    else:
        claimed_task = await Claimer(client, kinds=[TaskKind.FETCH]).claim_one()
        if way == "worker lost":
            await expire_lease(database, task.task_id)
            await worker.sync()
        elif way == "cancelled running":
            await tasks.cancel_task(task.task_id)
            await worker.finish(claimed_task, Cancelled())
        else:
            await worker.finish(claimed_task, Completed({}) if way == "completed" else Failed("no", SOON))
    (event,) = await callbacks_of(database, task.task_id)
    assert event["type"] == f"task.{way.split(maxsplit=1)[0].replace('worker', 'failed')}"


async def test_an_end_is_rolled_back_if_its_callback_cannot_be_created(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    task = await create(client, callback_url=URL)
    worker = Claimer(client)
    claimed_task = await worker.claim_one()
    await database.execute("alter table public.tasks add constraint injected_rule check (kind <> 'callback')")
    try:
        with pytest.raises(SupabaseRejected, match="injected_rule"):
            await worker.finish(claimed_task, Completed({}))
        assert (await row(database, task.task_id))["status"] == "running"
    finally:
        await database.execute("alter table public.tasks drop constraint injected_rule")
    assert await worker.finish(claimed_task, Completed({})) == "applied"
    assert len(await callbacks_of(database, task.task_id)) == 1


async def test_a_callback_task_creates_no_callback(client: AsyncClient, database: asyncpg.Connection) -> None:
    task = await create(client, callback_url=URL)
    worker = Claimer(client)
    await worker.finish(await worker.claim_one(), Completed({}))
    callback = await worker.claim_one()
    assert callback.payload["url"] == URL
    assert callback.payload["event"]["data"]["task_id"] == str(task.task_id)
    await worker.finish(callback, Completed({}))
    assert await database.fetchval("select count(*) from public.tasks") == 2


async def test_a_cancel_request_waits_for_an_uncommitted_claim(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    task = await create(client)
    async with database.transaction():
        claimed = "update public.queue set worker_id = gen_random_uuid(), attempt = 1 where task_id = $1"
        await database.execute(claimed, task.task_id)
        cancelling = asyncio.create_task(TaskStateManager(client).cancel_task(task.task_id))
        await somebody_waits(database)
    assert (await cancelling).status is TaskStatus.RUNNING
    assert await database.fetchval("select cancel_requested from public.queue where task_id = $1", task.task_id)


async def test_another_owner_cannot_cancel_list_or_find_a_task(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    task = await create(client, idempotency_key=CallerKey("k", {}))
    assert await database.fetchval("select public.cancel_task($1, 'another')", task.task_id) is None
    for status in ("'pending'", "'open'", "null"):
        arguments = f"'another', null, {status}, null, null, null, 10"
        assert await database.fetchval(f"select public.list_tasks({arguments})") == "[]"
    request = json.dumps(
        [
            {
                "task_id": str(uuid4()),
                "kind": "fetch",
                "payload": {},
                "priority": 1,
                "max_attempts": 5,
                "delay_seconds": 0,
            }
            | {
                "idempotency_key": await database.fetchval("select idempotency_key from public.tasks"),
                "request_hash": "h",
            }
        ]
    )
    made = await database.fetchval("select public.create_tasks('another', $1::text::jsonb, false, null)", request)
    assert json.loads(made)["outcome"] == "created"
    again = await database.fetchval(
        "select public.create_tasks('another', $1::text::jsonb, false, null)",
        request.replace(json.loads(request)[0]["task_id"], str(uuid4())),
    )
    assert [found["task_id"] for found in json.loads(again)["tasks"]] == [json.loads(request)[0]["task_id"]]
    assert await database.fetchval("select count(*) from public.task_records where status = 'pending'") == 2
