"""After an outage, in which no worker reached the database for a lease, leases are extended, and no attempt is lost."""

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskStatus
from app.persistence.outcomes import Completed, Failed, Lease, Outcome
from app.persistence.tasks import TaskStateManager
from tests.support.tasks import SOON, Claimer, create, expire_lease, insert_tasks, let_look, outage

MANY = 1_300
"""More than one call processes."""

CALLS = 4


async def test_the_first_worker_after_an_outage_takes_no_others_tasks(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    task = await create(client, max_attempts=1)
    holder, first = Claimer(client), Claimer(client)
    claimed_task = await holder.claim_one()
    await outage(database)
    assert (await first.sync(slots=10)).claimed == ()
    assert (await TaskStateManager(client).get_task(task.task_id)).status is TaskStatus.RUNNING
    assert (await holder.sync()).leases == (claimed_task.lease,)
    assert await holder.finish(claimed_task, Completed({})) == "applied"


async def test_an_outage_uses_no_attempt_of_any_number_of_tasks(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, MANY)
    holder, others = Claimer(client), [Claimer(client) for _ in range(CALLS)]
    claimed_task = await holder.claim(MANY)
    assert len(claimed_task) == MANY
    await outage(database)
    for other in others:
        assert (await other.sync(slots=MANY)).claimed == ()
    outcomes: dict[Lease, Outcome] = dict.fromkeys((task.lease for task in claimed_task), Completed({}))
    assert (await holder.sync(outcomes)).rejected_outcomes == ()


async def test_after_an_outage_leases_expire_as_usual(client: AsyncClient, database: asyncpg.Connection) -> None:
    await create(client)
    await Claimer(client).claim_one()
    await outage(database)
    other = Claimer(client)
    assert await other.claim() == ()
    # Its holder has sent no heartbeat since: the lease expires.
    await database.execute("update public.workers set grace_until = grace_until - lease where grace_until is not null")
    await let_look(database)
    (again,) = await other.claim()
    assert again.attempt == 2


async def test_a_lease_that_expires_after_the_outage_is_not_extended(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    other = Claimer(client)
    await other.sync()
    await outage(database)
    await other.sync()
    task = await create(client)
    await Claimer(client).claim_one()
    await expire_lease(database, task.task_id)
    (again,) = await other.claim()
    assert again.attempt == 2


async def test_an_orphans_lease_is_not_extended_forever(client: AsyncClient, database: asyncpg.Connection) -> None:
    await create(client, max_attempts=3)
    await Claimer(client).claim_one()
    seen = []
    # Each worker lives for less than a lease, and the next one starts after more than a lease.
    for _ in range(4):
        await outage(database)
        seen += [task.attempt for task in await Claimer(client).claim()]
    assert seen == [2, 3], "extended once per claim, then reclaimed"


async def test_a_worker_that_returned_is_extended_in_the_next_outage(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await create(client, max_attempts=1)
    holder = Claimer(client)
    claimed_task = await holder.claim_one()
    for _ in range(3):
        await outage(database)
        assert await Claimer(client).claim() == ()
        assert (await holder.sync()).leases == (claimed_task.lease,)
    assert await holder.finish(claimed_task, Completed({})) == "applied"


@pytest.mark.parametrize("cancel", [False, True])
async def test_the_next_claim_of_an_extended_task_is_extended_again(
    cancel: bool, client: AsyncClient, database: asyncpg.Connection
) -> None:
    task = await create(client)
    holder, other = Claimer(client), Claimer(client)
    claimed_task = await holder.claim_one()
    await outage(database)
    await other.sync()
    assert await holder.finish(claimed_task, Failed("no", SOON)) == "applied"
    again = await holder.claim_one()
    if cancel:
        await TaskStateManager(client).cancel_task(task.task_id)
    await outage(database)
    assert await other.claim() == ()
    assert await holder.finish(again, Completed({})) == "applied"
