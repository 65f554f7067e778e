"""The same key gives the same task for any number of requests; a completed task releases keys of the service."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import IdempotencyConflict
from app.models.tasks import TaskKind
from app.persistence.idempotency_keys import CallerKey, OwnKey
from app.persistence.outcomes import Completed, Failed
from app.persistence.tasks import TaskStateManager
from tests.support.tasks import DAY, Claimer, create

DAY_KEY = OwnKey(f"fetch:{DAY}")


async def test_fifty_callers_with_one_key_get_one_task(client: AsyncClient, database: asyncpg.Connection) -> None:
    made = await asyncio.gather(*(create(client, idempotency_key=CallerKey("same")) for _ in range(50)))
    assert len({task.task_id for task in made}) == 1
    assert await database.fetchval("select count(*) from public.tasks") == 1


@pytest.mark.parametrize(
    "change", [{"payload": {"a": 1}}, {"callback_url": "https://example.com/"}, {"priority": 0}, {"source_date": None}]
)
async def test_another_body_under_the_same_key_is_refused(change: dict[str, object], client: AsyncClient) -> None:
    first = await create(client, idempotency_key=CallerKey("k"))
    with pytest.raises(IdempotencyConflict, match=str(first.task_id)):
        await create(client, idempotency_key=CallerKey("k"), **change)


async def test_the_caller_is_not_part_of_the_compared_body(client: AsyncClient) -> None:
    first = await create(client, idempotency_key=CallerKey("k"), payload={"a": 1, "request_id": "one"})
    again = await create(client, idempotency_key=CallerKey("k"), payload={"a": 1, "request_id": "two"})
    assert again == first


async def test_a_callers_key_still_returns_its_failed_task(client: AsyncClient) -> None:
    first = await create(client, idempotency_key=CallerKey("k"))
    worker = Claimer(client)
    await worker.finish(await worker.claim_one(), Failed("no", None))
    assert (await create(client, idempotency_key=CallerKey("k"))).task_id == first.task_id


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_an_internal_key_is_free_after_its_task_failed(end: str, client: AsyncClient) -> None:
    first = await create(client, idempotency_key=DAY_KEY)
    if end == "failed":
        worker = Claimer(client)
        await worker.finish(await worker.claim_one(), Failed("no", None))
    else:
        await TaskStateManager(client).cancel_task(first.task_id)
    made = await asyncio.gather(*(create(client, idempotency_key=DAY_KEY) for _ in range(20)))
    assert {task.task_id for task in made} != {first.task_id}
    assert len({task.task_id for task in made}) == 1


async def test_an_internal_key_does_not_compare_bodies(client: AsyncClient) -> None:
    first = await create(client, idempotency_key=DAY_KEY)
    again = await create(client, idempotency_key=DAY_KEY, priority=3, payload={"a": 1}, callback_url="https://x.test/")
    assert again == first


async def test_the_received_body_is_compared_not_the_payload(client: AsyncClient) -> None:
    first = await create(client, idempotency_key=CallerKey("k", {}))
    tomorrow = await create(client, idempotency_key=CallerKey("k", {}), source_date=DAY + timedelta(days=1))
    assert tomorrow == first
    another: list[dict[str, Any]] = [
        {"idempotency_key": CallerKey("k", {"source_date": str(DAY)})},
        {"idempotency_key": CallerKey("k")},
        {"idempotency_key": CallerKey("k", {}), "kind": TaskKind.DIGEST},
    ]
    for change in another:
        with pytest.raises(IdempotencyConflict, match=str(first.task_id)):
            await create(client, **change)


async def test_an_internal_key_stays_with_a_completed_task(client: AsyncClient) -> None:
    first = await create(client, idempotency_key=DAY_KEY)
    worker = Claimer(client)
    await worker.finish(await worker.claim_one(), Completed({}))
    assert (await create(client, idempotency_key=DAY_KEY)).task_id == first.task_id


async def test_no_caller_can_use_an_internal_key(client: AsyncClient) -> None:
    own = await create(client, idempotency_key=DAY_KEY)
    theirs = await create(client, idempotency_key=CallerKey(DAY_KEY.stored), task_id=uuid4())
    assert theirs.task_id != own.task_id


async def test_pages_contain_every_task_once(client: AsyncClient, database: asyncpg.Connection) -> None:
    made = [(await create(client)).task_id for _ in range(7)]
    # Equal times are the usual error of cursors.
    await database.execute("update public.tasks set created_at = '2026-01-01T00:00:00.123456Z'")
    tasks, seen, cursor = TaskStateManager(client), [], None
    while True:
        page = await tasks.list_tasks(limit=3, cursor=cursor)
        seen += [task.task_id for task in page.tasks]
        if (cursor := page.next_cursor) is None:
            break
    assert sorted(seen) == sorted(made)
