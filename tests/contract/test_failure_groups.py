"""Permanently failed tasks in groups: folded errors, replay of a group beside two workers, and discard."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskKind, TaskStatus
from app.persistence.operator import Operator
from app.persistence.outcomes import Completed, Failed
from app.persistence.tasks import TaskStateManager
from tests.contract.actors import by
from tests.support.operators import dead_tasks
from tests.support.tasks import Claimer, create


@pytest.fixture
def operator(client: AsyncClient) -> Operator:
    return Operator(client)


async def test_a_task_that_dies_joins_the_group_of_its_cause(client: AsyncClient, operator: Operator) -> None:
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    for number in range(3):
        await create(client, max_attempts=1)
        await worker.finish(await worker.claim_one(), Failed(f"HTTP 503 after {number}.5 s", None))
    (group,) = await operator.failure_groups()
    assert (group.kind, group.cause, group.tasks) == ("fetch", "HTTP <number> after <number> s", 3)
    assert group.example is not None
    assert group.example.startswith("HTTP 503 after ")
    assert sum(hour.tasks for hour in group.hours) == 3
    assert group.first_at < group.last_at


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("550 ada.lovelace@example.org unknown", "<number> <address> unknown"),
        ("task 0b0e7f0c-2c2a-4b0e-8f0c-2c2a4b0e8f0c lost", "task <id> lost"),
        ("trace 4bf92f3577b34da6a3ce929d0e0e4736", "trace <id>"),
        ("10.0.0.7:443 refused, 1,234 tries", "<number> refused, <number> tries"),
        ("defaced facade", "defaced facade"),
        ("", ""),
        (None, ""),
        ("x" * 5000, "x" * 300),
    ],
)
async def test_numbers_ids_and_addresses_are_folded(
    error: str | None, cause: str, operator: Operator, database: asyncpg.Connection
) -> None:
    await dead_tasks(database, "digest", error or "")
    await database.execute("update public.queue set error = $1 where dead_letter", error)
    (group,) = await operator.failure_groups()
    assert group.cause == cause


async def test_thousands_of_failures_of_three_causes_are_three_groups(
    operator: Operator, database: asyncpg.Connection
) -> None:
    for kind, error, count in (("digest", "HTTP 500", 2000), ("fetch", "timed out", 900), ("digest", "no key", 100)):
        await dead_tasks(database, kind, error, count)
    groups = await operator.failure_groups()
    assert {(group.kind, group.cause, group.tasks) for group in groups} == {
        ("digest", "HTTP <number>", 2000),
        ("fetch", "timed out", 900),
        ("digest", "no key", 100),
    }
    assert [group.last_at for group in groups] == sorted((group.last_at for group in groups), reverse=True)


async def test_a_group_is_replayed_while_two_workers_run(client: AsyncClient, database: asyncpg.Connection) -> None:
    operator = Operator(client)
    await dead_tasks(database, "digest", "HTTP 500", 300)
    await dead_tasks(database, "digest", "no key", 5)
    workers, over = [Claimer(client, kinds=[TaskKind.DIGEST]) for _ in range(2)], asyncio.Event()

    async def work(worker: Claimer) -> int:
        ended = 0
        while True:
            last = over.is_set()
            claimed = await worker.claim(20)
            for task in claimed:
                await worker.finish(task, Completed({}))
            ended += len(claimed)
            if last and not claimed:
                return ended

    working = [asyncio.create_task(work(worker)) for worker in workers]
    step = await operator.replay_dead(by(), TaskKind.DIGEST, cause="HTTP <number>", step=100)
    replayed = step.replayed
    while step.next is not None:
        step = await operator.replay_dead(
            by(), TaskKind.DIGEST, cause="HTTP <number>", after=step.next, until=step.until, step=100
        )
        replayed += step.replayed
    over.set()
    done = sum(await asyncio.gather(*working))
    assert (replayed, done) == (300, 300)
    assert [(group.cause, group.tasks) for group in await operator.failure_groups()] == [("no key", 5)]


async def test_discarded_tasks_stay_failed_and_are_in_the_audit(
    client: AsyncClient, operator: Operator, database: asyncpg.Connection
) -> None:
    await dead_tasks(database, "fetch", "HTTP 410", 3)
    await dead_tasks(database, "fetch", "timed out")
    discarded = await operator.discard(by(), TaskKind.FETCH, "HTTP <number>")
    assert discarded.discarded == 3
    assert [group.cause for group in await operator.failure_groups()] == ["timed out"]
    assert len((await TaskStateManager(client).list_tasks(status=TaskStatus.FAILED)).tasks) == 1
    assert await database.fetchval("select count(*) from public.tasks where status = 'failed'") == 4
    (entry,) = (await operator.audit_entries()).entries
    assert (entry.action, entry.details["cause"], entry.details["discarded"]) == ("discard", "HTTP <number>", 3)
    assert (await operator.discard(by(), TaskKind.FETCH, str(uuid4()))).discarded == 0
    before = discarded.until - timedelta(hours=1)
    later = await operator.discard(by(), TaskKind.FETCH, "timed out", until=before)
    assert later.discarded == 0, "it failed afterwards"
