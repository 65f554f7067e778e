"""Pending deliveries are skipped in bounded calls, in the common order of locks."""

import asyncio
from uuid import UUID

import asyncpg
import pytest
from supabase import AsyncClient

from app.persistence.deliveries import Deliveries
from app.persistence.operator import Operator
from tests.support.tasks import somebody_waits

QUEUE = "select from public.queue where task_id = any ($1) for update nowait"
DELIVERIES = "select from public.deliveries where delivery_id = any ($1) for update nowait"


async def test_skipped_deliveries_are_locked_by_id(
    client: AsyncClient, database: asyncpg.Connection, mails: list[UUID]
) -> None:
    await database.execute("delete from public.queue where true")
    async with database.transaction():
        await database.execute(DELIVERIES, mails[:1])
        resuming = asyncio.create_task(Deliveries(client).resume(by="ada", skip_pending=True))
        await somebody_waits(database)
        await database.execute(DELIVERIES, mails[1:])
        # As public.begin_sending() does if there is no pause row yet.
        await database.execute("select public.set_delivery_pause(null)")
    await resuming
    assert await database.fetchval("select count(*) from public.deliveries where status = 'skipped'") == len(mails)


async def test_skipped_deliveries_are_locked_after_their_tasks(
    client: AsyncClient, database: asyncpg.Connection, mails: list[UUID]
) -> None:
    tasks = [row[0] for row in await database.fetch("select task_id from public.queue order by task_id")]
    async with database.transaction():
        await database.execute(QUEUE, tasks[:1])
        resuming = asyncio.create_task(Deliveries(client).resume(by="ada", skip_pending=True))
        await somebody_waits(database)
        await database.execute(QUEUE, tasks[1:])
        await database.execute(DELIVERIES, mails)
    await resuming


async def test_one_call_skips_a_limited_number_of_deliveries(
    client: AsyncClient, database: asyncpg.Connection, mails: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    skipped = "select count(*) from public.deliveries where status = 'skipped'"
    assert await database.fetchval("select public.skip_pending_deliveries('ada', 3)")
    assert await database.fetchval(skipped) == 3
    monkeypatch.setattr("app.persistence.deliveries.SKIPPED", 2)
    for _ in range(2):
        await Deliveries(client).resume(by="ada", skip_pending=True)
    assert await database.fetchval(skipped) == len(mails)
    actions = [entry.action for entry in (await Operator(client).audit_entries()).entries]
    assert actions == ["skip deliveries"], "one entry for all calls, none for a repetition"


async def test_a_delivery_that_began_meanwhile_is_not_skipped(
    client: AsyncClient, database: asyncpg.Connection, mails: list[UUID]
) -> None:
    begun = (
        "update public.deliveries set status = 'sending', token = gen_random_uuid(), envelope = '{}', begun_at = now()"
        " where delivery_id = $1"
    )
    async with database.transaction():
        await database.execute(begun, mails[3])
        resuming = asyncio.create_task(Deliveries(client).resume(by="ada", skip_pending=True))
        await somebody_waits(database)
    await resuming
    statuses = await database.fetch("select delivery_id, status from public.deliveries order by delivery_id")
    assert {row["status"] for row in statuses if row["delivery_id"] != mails[3]} == {"skipped"}
    assert {row["status"] for row in statuses if row["delivery_id"] == mails[3]} == {"sending"}
