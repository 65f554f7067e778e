"""Claims: each task once, in order, none left over; a repeated call gets the first response."""

import asyncio
from datetime import timedelta

import asyncpg
from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.outcomes import Completed
from tests.support.tasks import Claimer, create, expire_lease, insert_tasks, row

RUNNING_ONCE = "select count(*) from public.queue where worker_id is not null and attempt = 1"


async def test_two_hundred_workers_share_a_thousand_tasks(client: AsyncClient, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 1000)
    claims = await asyncio.gather(*(Claimer(client).claim(5) for _ in range(200)))
    claimed = [task.task_id for batch in claims for task in batch]
    while more := await Claimer(client).claim(100):  # tasks that another transaction had locked during the search
        claimed += [task.task_id for task in more]
    assert len(claimed) == len(set(claimed)) == 1000
    assert await database.fetchval(RUNNING_ONCE) == 1000


async def test_a_repeated_call_claims_once_even_in_parallel_or_late(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 20)
    worker = Claimer(client)
    call = worker.queue.prepare(outcomes={}, slots=10)
    answers = await asyncio.gather(*(worker.queue.sync(call) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0].claimed) == 10
    assert await database.fetchval("select sum(attempt) from public.queue") == 10
    finishing = worker.queue.prepare(outcomes={task.lease: Completed({}) for task in answers[0].claimed}, slots=0)
    finished = await worker.queue.sync(finishing)
    assert await worker.queue.sync(finishing) == finished
    # The first call is older now: it changes nothing and reports this.
    late = await worker.queue.sync(call)
    assert (late.outdated, late.claimed) == (True, ())
    assert await database.fetchval("select sum(attempt) from public.tasks") == 10


async def test_a_repeated_call_omits_tasks_claimed_by_another_since(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 1)
    slow, quick = Claimer(client), Claimer(client)
    call = slow.queue.prepare(outcomes={}, slots=1)
    (task,) = (await slow.queue.sync(call)).claimed
    await quick.sync()
    await expire_lease(database, task.task_id)
    await quick.sync()
    assert (await quick.claim_one()).task_id == task.task_id
    assert (await slow.queue.sync(call)).claimed == ()


async def test_order_is_priority_then_kind_then_time_then_id(client: AsyncClient, database: asyncpg.Connection) -> None:
    for priority in (3, 1, 0, 2):
        await insert_tasks(database, 3, priority=priority)
        await insert_tasks(database, 2, priority=priority, delay="-1 hour", kind="digest")
    expected = await database.fetch("select task_id from public.queue order by priority, kind, run_at, task_id")
    worker, claimed = Claimer(client, kinds=sorted(TaskKind)), []
    while batch := await worker.claim(3):
        claimed += [task.task_id for task in batch]
    assert claimed == [found["task_id"] for found in expected]


async def test_delayed_tasks_wait_and_block_no_other_task(client: AsyncClient, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 5, priority=0, delay="1 hour")
    soon = await create(client, delay=timedelta(minutes=5), priority=0)
    ready = await create(client, priority=3)
    answer = await Claimer(client).sync(slots=10)
    assert [task.task_id for task in answer.claimed] == [ready.task_id]
    assert answer.next_task_seconds is not None
    assert 200 < answer.next_task_seconds <= 300
    assert (await row(database, soon.task_id))["status"] == "pending"


async def test_only_its_kinds_are_claimed(client: AsyncClient, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 3, kind="digest")
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    answer = await worker.sync(slots=10)
    assert (answer.claimed, answer.next_task_seconds) == ((), None)
    assert len(await Claimer(client, kinds=[TaskKind.DIGEST]).claim()) == 3


async def test_claims_resume_at_a_mark_and_rarely_scan_from_the_start(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    assert await worker.claim() == ()
    await insert_tasks(database, 1, delay="-1 hour")  # as if it was committed later
    ready = await create(client)
    # A scan from the start is expensive (the index still has removed rows), and the last one was a moment ago.
    await database.execute("update public.worker_calls set scanned_at = clock_timestamp(), scan_duration = '1 hour'")
    assert [task.task_id for task in await worker.claim()] == [ready.task_id]
    await database.execute("update public.worker_calls set scanned_at = scanned_at - interval '1 minute'")
    assert len(await worker.claim()) == 1
