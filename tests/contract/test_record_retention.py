"""Old deliveries, audit entries and ended pauses are removed; a delivery is kept longer than the tasks of its day."""

from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.deliveries import Deliveries, DeliveryStatus
from app.persistence.maintenance import Maintenance, PrunedRecords
from app.persistence.operator import Actor, Operator
from app.persistence.outcomes import Completed
from app.persistence.readers import Reader
from tests.contract.query_plans import buffers, explained
from tests.support.mailer import IN_DOUBT, PENDING, SENT, Mailer, the_one
from tests.support.schedule import written
from tests.support.tasks import Claimer, create

TASKS_GO = "delete from public.tasks where kind in ('digest', 'delivery')"
OLD_DELIVERIES = """
insert into public.deliveries (delivery_id, owner, reader_id, kind, local_day, status, created_at, ended_at)
select gen_random_uuid(), 'default', gen_random_uuid(), 'digest', now() - interval '100 days', status,
       now() - interval '100 days', case when status <> 'pending' then now() - interval '100 days' end
  from unnest($1::text[]) status cross join generate_series(1, $2)
"""
OLD_ENTRIES = """
insert into public.audit (audit_id, created_at, actor, action, details, response)
select gen_random_uuid(), now() - age * interval '1 day', 'ada', 'cancel', '{}', '{}' from unnest($1::integer[]) age
"""


async def prune(client: AsyncClient, batch: int = 500) -> PrunedRecords:
    return await Maintenance(client, batch=batch).prune_records(delivery_days=90, audit_days=365)


async def grow_old(database: asyncpg.Connection) -> None:
    """Let 100 days pass for all deliveries."""
    await database.execute(
        "update public.deliveries"
        " set created_at = created_at - interval '100 days', ended_at = ended_at - interval '100 days'"
    )


@pytest.mark.parametrize("state", [SENT, DeliveryStatus.FAILED, IN_DOUBT])
async def test_an_old_delivery_is_removed_with_its_address(
    state: DeliveryStatus, client: AsyncClient, database: asyncpg.Connection, mailer: Mailer
) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    await mailer.end(lease, state)
    await mailer.claimer.sync({lease: Completed({})})
    await database.execute(TASKS_GO)
    assert (await prune(client)).deliveries == 0
    await grow_old(database)
    assert (await prune(client)).deliveries == 1
    assert (await Deliveries(client).page(None)).deliveries == ()


async def test_a_delivery_outlives_the_task_that_could_recreate_it(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader
) -> None:
    """An old digest whose task failed later is replayed, although its mail was sent."""
    mailer, digester = Mailer(client), Claimer(client, kinds=[TaskKind.DIGEST])
    lease = await mailer.claim()
    await mailer.begin(lease)
    await mailer.end(lease, SENT)
    await mailer.claimer.sync({lease: Completed({})})
    delivery = await the_one(client)
    assert delivery.digest_id is not None
    await database.execute("delete from public.tasks where kind = 'delivery'")
    await grow_old(database)
    # Its task exists and its digest does not: the task writes it again.
    await database.execute("delete from public.digests")
    await database.fetchval("select public.reopen_tasks(array[$1::uuid])", delivery.digest_id)
    task = await digester.claim_one()
    assert (await prune(client)).deliveries == 0
    await digester.sync({task.lease: Completed({}, written("Again"))})
    assert (await the_one(client)).status is SENT
    assert await database.fetchval("select count(*) from public.tasks where kind = 'delivery'") == 0
    await database.execute("delete from public.tasks")
    assert (await prune(client)).deliveries == 1
    assert reader.status == "active"


async def test_an_unsent_delivery_is_kept(client: AsyncClient, database: asyncpg.Connection, mailer: Mailer) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    await mailer.end(lease, IN_DOUBT)
    await grow_old(database)
    await Deliveries(client).resolve(mailer.delivery_id, PENDING, by="ada")
    await database.execute("delete from public.queue where true")
    await database.execute(TASKS_GO)
    assert (await prune(client)).deliveries == 0
    assert await mailer.status is PENDING


async def test_a_batch_is_bounded_and_skips_locked_rows(client: AsyncClient, database: asyncpg.Connection) -> None:
    await database.execute(OLD_DELIVERIES, ["sent", "failed", "skipped", "in_doubt", "pending"], 3)
    await database.execute(OLD_ENTRIES, [364, 366, 367, 368])
    assert await prune(client, batch=2) == PrunedRecords(deliveries=2, audit_entries=2, pauses=0)
    async with database.transaction():
        await database.execute("select from public.deliveries where status = 'in_doubt' for update")
        await database.execute("select from public.audit for update")
        assert await prune(client) == PrunedRecords(deliveries=7, audit_entries=0, pauses=0)
    assert await prune(client) == PrunedRecords(deliveries=3, audit_entries=1, pauses=0)
    assert await prune(client) == PrunedRecords(deliveries=0, audit_entries=0, pauses=0)
    assert await database.fetchval("select count(*) from public.deliveries where status = 'pending'") == 3


async def test_recent_deliveries_are_not_read(client: AsyncClient, database: asyncpg.Connection) -> None:
    await database.execute(OLD_DELIVERIES, ["sent", "skipped"], 5000)
    await database.execute("update public.deliveries set created_at = now(), ended_at = now()")
    await database.execute("vacuum analyze public.deliveries")
    call = "select public.prune_records(90, 365, 500)"
    await explained(database, call)  # caches the plans
    plan = await explained(database, call)
    assert buffers(plan) < 100, "it does not read recent rows"
    assert (await prune(client)).largest == 0


async def test_a_pause_is_kept_while_it_is_open_or_counts(client: AsyncClient, database: asyncpg.Connection) -> None:
    operator = Operator(client)
    for kind in (TaskKind.FETCH, TaskKind.DIGEST):
        await operator.pause(Actor(uuid4(), "ada"), kind, "why")
    await operator.resume(Actor(uuid4(), "ada"), TaskKind.FETCH)
    await database.execute(
        "update public.pauses"
        " set started_at = started_at - interval '2 years', ended_at = ended_at - interval '2 years'"
    )
    await create(client)
    await database.execute("update public.queue set started_at = now() - interval '3 years'")
    assert (await prune(client)).pauses == 0, "a task that started before its end is unfinished"
    await database.execute("update public.queue set started_at = now()")
    assert (await prune(client)).pauses == 1
    assert [pause.kind for pause in await operator.pauses()] == ["digest"]
