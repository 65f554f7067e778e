"""Leases: a lost lease has no effect; a crash uses an attempt, a release does not; outages cost no attempt."""

from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import LeaseLost
from app.models.tasks import TaskStatus
from app.persistence.outcomes import Cancelled, Completed, Failed, Outcome, Released, Snoozed
from app.persistence.queue import Progress
from app.persistence.tasks import TaskStateManager
from embedded.stack import Ready
from tests.support.tasks import SOON, Claimer, create, expire_lease, row

OUTCOMES: list[Outcome] = [Completed({"x": 1}), Failed("no", SOON), Snoozed(SOON, "later"), Released(), Cancelled()]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
async def test_a_lost_lease_cannot_finish_renew_or_report(
    outcome: Outcome, client: AsyncClient, database: asyncpg.Connection
) -> None:
    task = await create(client)
    slow, quick = Claimer(client), Claimer(client)
    claimed_task = await slow.claim_one()
    await quick.sync()  # a heartbeat, so that this is no outage
    await expire_lease(database, task.task_id)
    await quick.sync()
    taken = await quick.claim_one()
    before = await row(database, task.task_id)
    answer = await slow.sync({claimed_task.lease: outcome})
    assert [verdict.verdict for verdict in answer.rejected_outcomes] == ["lost"]
    assert answer.leases == ()
    await slow.sync(progress={claimed_task.lease: Progress("still here", 0.9)})
    with pytest.raises(LeaseLost):
        await TaskStateManager(client).update_task(
            task.task_id, lease_token=claimed_task.lease.lease_token, message="still here", progress=0.9
        )
    assert await row(database, task.task_id) == before
    assert (taken.task_id, taken.attempt) == (task.task_id, 2)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
async def test_an_outcome_after_the_task_returned_to_the_queue_is_lost(
    outcome: Outcome, client: AsyncClient, database: asyncpg.Connection
) -> None:
    task = await create(client)
    slow = Claimer(client)
    claimed_task = await slow.claim_one()
    other = Claimer(client)
    await other.sync()
    await expire_lease(database, task.task_id)
    await other.sync()
    assert await slow.finish(claimed_task, outcome) == "lost"
    assert (await row(database, task.task_id))["status"] == "pending"


async def test_a_crash_uses_an_attempt_and_the_last_one_fails_the_task(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    task = await create(client, max_attempts=2)
    watcher = Claimer(client)
    await watcher.sync()
    for attempt in (1, 2):
        assert (await Claimer(client).claim_one()).attempt == attempt
        await expire_lease(database, task.task_id)
        await watcher.sync()
    ended = await TaskStateManager(client).get_task(task.task_id)
    assert (ended.status, ended.attempt) == (TaskStatus.FAILED, 2)
    assert "worker lost" in (ended.error or "")


@pytest.mark.parametrize("outcome", [Released(), Snoozed(SOON, "waiting")], ids=["released", "snoozed"])
async def test_a_release_or_snooze_uses_no_attempt(outcome: Outcome, client: AsyncClient) -> None:
    await create(client, max_attempts=1)
    worker = Claimer(client)
    for _ in range(3):
        claimed_task = await worker.claim_one()
        assert claimed_task.attempt == 1
        assert await worker.finish(claimed_task, outcome) == "applied"
        with pytest.raises(LeaseLost):
            await TaskStateManager(client).update_task(
                claimed_task.task_id, lease_token=claimed_task.lease.lease_token, message="late", progress=0.9
            )


async def test_a_released_task_keeps_its_place_in_the_queue(client: AsyncClient) -> None:
    first, _second = await create(client), await create(client)
    worker = Claimer(client)
    claimed_task = await worker.claim_one()
    assert await worker.finish(claimed_task, Released()) == "applied"
    assert [claimed_task.task_id, (await worker.claim_one()).task_id] == [first.task_id] * 2


async def test_retries_end_at_max_attempts_with_the_error(client: AsyncClient) -> None:
    task = await create(client, max_attempts=3)
    worker = Claimer(client)
    for _ in range(3):
        await worker.finish(await worker.claim_one(), Failed("the source is down", SOON))
    ended = await TaskStateManager(client).get_task(task.task_id)
    assert (ended.status, ended.attempt, ended.error) == (TaskStatus.FAILED, 3, "the source is down")


async def test_a_permanent_failure_ends_the_task_at_once(client: AsyncClient) -> None:
    task = await create(client)
    worker = Claimer(client)
    await worker.finish(await worker.claim_one(), Failed("never", None))
    ended = await TaskStateManager(client).get_task(task.task_id)
    assert (ended.status, ended.attempt, ended.error) == (TaskStatus.FAILED, 1, "never")


async def test_a_retry_waits_for_its_delay(client: AsyncClient) -> None:
    await create(client)
    worker = Claimer(client)
    await worker.finish(await worker.claim_one(), Failed("busy", timedelta(minutes=10)))
    answer = await worker.sync(slots=1)
    assert answer.claimed == ()
    assert answer.next_task_seconds is not None
    assert 590 < answer.next_task_seconds <= 600


async def test_snoozing_has_a_deadline(client: AsyncClient, database: asyncpg.Connection) -> None:
    task = await create(client)
    worker = Claimer(client)
    await worker.finish(await worker.claim_one(), Snoozed(SOON, "waiting for the edition"))
    await database.execute("update public.queue set snoozed_since = now() - interval '25 hours'")
    await worker.finish(
        await worker.claim_one(), Snoozed(SOON, "waiting for the edition: arxiv: refused, will be retried in 9 s")
    )
    ended = await TaskStateManager(client).get_task(task.task_id)
    assert ended.status is TaskStatus.FAILED
    assert ended.error == "waited longer than 24:00:00: waiting for the edition: arxiv: refused"


@pytest.mark.parametrize(("kind", "hours"), [("fetch", 24), ("digest", 26), ("callback", 2)])
async def test_each_kind_has_its_own_limit_for_waiting(kind: str, hours: int, database: asyncpg.Connection) -> None:
    assert await database.fetchval("select public.snooze_limit($1)", kind) == timedelta(hours=hours)


async def test_a_worker_with_heartbeats_keeps_its_tasks(client: AsyncClient, database: asyncpg.Connection) -> None:
    task = await create(client)
    worker, other = Claimer(client), Claimer(client)
    claimed_task = await worker.claim_one()
    await other.sync()
    for _ in range(3):  # more than a lease, in steps of less
        await database.execute("update public.workers set seen_at = seen_at - lease * 0.9")
        await worker.sync()
        assert await other.claim() == ()
    assert (await row(database, task.task_id))["status"] == "running"
    assert await worker.finish(claimed_task, Completed({})) == "applied"


async def test_of_two_leases_of_one_task_the_old_one_is_lost(client: AsyncClient, database: asyncpg.Connection) -> None:
    task, worker, other = await create(client), Claimer(client), Claimer(client)
    old = await worker.claim_one()
    await other.sync()
    await expire_lease(database, task.task_id)
    await other.sync()
    answer = await worker.sync(slots=1)
    (new,) = answer.claimed
    assert (answer.leases, new.task_id, new.lease == old.lease) == ((), old.task_id, False)
    await TaskStateManager(client).cancel_task(task.task_id)
    assert (await worker.sync()).cancel == (new.lease,)


async def test_a_worker_gets_the_list_of_its_tasks_once_per_lease(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await create(client)
    worker = Claimer(client)
    claimed_task = await worker.claim_one()
    assert (await worker.sync()).leases is None
    await database.execute("update public.workers set seen_at = seen_at - lease / 5, reported_at = reported_at - lease")
    assert (await worker.sync()).leases == (claimed_task.lease,)
    assert (await worker.sync()).leases is None


async def test_tasks_of_a_worker_that_dies_early_return_to_the_queue(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection
) -> None:
    task, worker = await create(client), uuid4()
    # On a new connection PostgreSQL plans the call for these values.
    fresh = await asyncpg.connect(stack.database_url)
    call = "select public.sync_worker($1, 1, 30, array['fetch'], array[1], 1, '[]', '[]', '[]', 'host', '1')"
    await fresh.execute(call.replace("$1", f"'{worker}'"))
    await fresh.close()
    assert await database.fetchval("select worker_id from public.queue where task_id = $1", task.task_id) == worker
    peer = Claimer(client)
    await peer.sync()
    await expire_lease(database, task.task_id)
    await peer.sync()
    assert [(taken.task_id, taken.attempt) for taken in await peer.claim()] == [(task.task_id, 2)]


@pytest.mark.parametrize("second", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
@pytest.mark.parametrize("first", OUTCOMES[1:4], ids=lambda outcome: type(outcome).__name__)
async def test_an_outcome_after_the_task_was_returned_changes_nothing(
    first: Outcome, second: Outcome, client: AsyncClient, database: asyncpg.Connection
) -> None:
    task, worker = await create(client), Claimer(client)
    claimed_task = await worker.claim_one()
    assert await worker.finish(claimed_task, first) == "applied"
    before = await row(database, task.task_id)
    assert await worker.finish(claimed_task, second) == "applied_already"
    assert await row(database, task.task_id) == before
    assert before["status"] == "pending"


@pytest.mark.parametrize("outcome", [Completed({}), Failed("no", None), Cancelled()], ids=lambda o: type(o).__name__)
async def test_a_repeated_outcome_is_reported_as_applied_already(outcome: Outcome, client: AsyncClient) -> None:
    await create(client)
    worker = Claimer(client)
    claimed_task = await worker.claim_one()
    assert await worker.finish(claimed_task, outcome) == "applied"
    assert await worker.finish(claimed_task, outcome) == "applied_already"


async def test_repeated_snoozes_count_from_the_first_one(client: AsyncClient, database: asyncpg.Connection) -> None:
    await create(client)
    worker, since = Claimer(client), []
    for _ in range(2):
        await worker.finish(await worker.claim_one(), Snoozed(SOON, "later"))
        since.append(await database.fetchval("select snoozed_since from public.queue"))
    assert since[0] == since[1] is not None
