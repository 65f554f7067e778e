"""No worker claims a paused kind, and time limits do not count the pause."""

from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import NothingToDo
from app.models.tasks import TaskKind, TaskStatus
from app.persistence.operator import Actor, Operator
from app.persistence.outcomes import Snoozed
from app.persistence.tasks import TaskStateManager
from tests.support.tasks import Claimer, create


def by(name: str = "root") -> Actor:
    return Actor(uuid4(), name)


@pytest.fixture
def operator(client: AsyncClient) -> Operator:
    return Operator(client)


async def age(database: asyncpg.Connection, task_id: UUID, hours: int) -> None:
    """Let a snoozed task have waited for this time."""
    await database.execute(
        "update public.queue set snoozed_since = now() - make_interval(hours => $2) where task_id = $1", task_id, hours
    )


async def paused_since(database: asyncpg.Connection, ago: str) -> None:
    await database.execute("update public.pauses set started_at = now() - $1::text::interval", ago)


async def test_a_paused_kind_is_not_claimed_until_it_is_resumed(client: AsyncClient, operator: Operator) -> None:
    await create(client)
    digest = await create(client, kind=TaskKind.DIGEST)
    first = await operator.pause(by(), TaskKind.FETCH, "arXiv is moving")
    assert await operator.pause(by("other"), TaskKind.FETCH, "me too") == first
    workers = [Claimer(client), Claimer(client)]
    assert [task.task_id for worker in workers for task in await worker.claim()] == [digest.task_id]
    (pause,) = await operator.pauses()
    assert (pause.kind, pause.actor, pause.reason) == (TaskKind.FETCH, "root", "arXiv is moving")
    await operator.resume(by(), TaskKind.FETCH)
    assert len(await workers[0].claim()) == 1
    with pytest.raises(NothingToDo, match="not paused"):
        await operator.resume(by(), TaskKind.FETCH)
    assert [entry.action for entry in (await operator.audit_entries()).entries] == ["resume", "pause"]


@pytest.mark.parametrize("paused", [TaskKind.DIGEST, TaskKind.FETCH, TaskKind.CALLBACK])
async def test_time_limits_exclude_pauses_of_a_task_and_what_it_awaits(
    paused: TaskKind, client: AsyncClient, operator: Operator, database: asyncpg.Connection
) -> None:
    digest, fetch = await create(client, kind=TaskKind.DIGEST), await create(client, delay=timedelta(days=1))
    tasks, worker = TaskStateManager(client), Claimer(client, kinds=[TaskKind.DIGEST])
    waiting = Snoozed(timedelta(0), "waiting", fetch.task_id)
    await worker.finish(await worker.claim_one(), waiting)
    await age(database, digest.task_id, 28)
    await operator.pause(by(), paused, "because")
    await paused_since(database, "3 hours")
    if paused is TaskKind.DIGEST:
        assert await worker.claim() == ()
        await operator.resume(by(), paused)
    await worker.finish(await worker.claim_one(), waiting)
    kept = (await tasks.get_task(digest.task_id)).status
    assert kept is (TaskStatus.FAILED if paused is TaskKind.CALLBACK else TaskStatus.PENDING)
    if kept is TaskStatus.PENDING:
        await age(database, digest.task_id, 30)
        await worker.finish(await worker.claim_one(), waiting)
        assert (await tasks.get_task(digest.task_id)).status is TaskStatus.FAILED


async def test_overlapping_pauses_of_two_kinds_count_once(database: asyncpg.Connection) -> None:
    await database.execute(
        "insert into public.pauses select gen_random_uuid(), k, now() - a, now() - b, 'root', '' from (values"
        " ('fetch', interval '5 hours', interval '3 hours'), ('digest', interval '4 hours', interval '2 hours'),"
        " ('fetch', interval '1 hour', null)) as v(k, a, b)"
    )
    for kinds, hours in ((["fetch", "digest"], 3.5), (["digest"], 2.0), (["callback", None], 0.0)):
        found = await database.fetchval(
            "select extract(epoch from public.paused_for($1, m - interval '4.5 hours', m)) / 3600"
            " from (select max(started_at) + interval '1 hour' as m from public.pauses) as m",
            kinds,
        )
        assert float(found) == pytest.approx(hours)


async def test_time_during_a_pause_is_not_counted_as_waiting(
    client: AsyncClient, operator: Operator, database: asyncpg.Connection
) -> None:
    worker = Claimer(client)
    await create(client)
    await worker.finish(await worker.claim_one(), Snoozed(timedelta(0), "busy"))
    await database.execute("update public.queue set started_at = now() - interval '50 minutes'")
    await operator.pause(by(), TaskKind.FETCH, "because")
    await paused_since(database, "30 minutes")
    await operator.resume(by(), TaskKind.FETCH)
    assert timedelta(minutes=19) < (await worker.claim_one()).waited < timedelta(minutes=21)
