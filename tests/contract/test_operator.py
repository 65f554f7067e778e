"""Operators' actions: replay, redelivery, the list of workers. Each action is applied once and recorded."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import NothingToDo, TaskNotFound
from app.models.tasks import Task, TaskKind, TaskStatus
from app.persistence.circuit_breaker import CircuitBreakers
from app.persistence.operator import AuditPage, Operator, OrphanedTaskPage
from app.persistence.outcomes import Completed, Failed
from app.persistence.queue import TaskQueue
from app.persistence.task_stats import TaskStats
from app.persistence.tasks import TaskStateManager
from app.persistence.worker_configuration import WorkerConfiguration
from embedded.stack import Ready
from tests.contract.actors import by
from tests.contract.callers import callers_of
from tests.support.tasks import DAY, LEASE, Claimer, create, insert_tasks, let_look, row, verdict

HOOK = "https://example.com/hook"


@pytest.fixture
def operator(client: AsyncClient) -> Operator:
    return Operator(client)


async def killed(client: AsyncClient, worker: Claimer, **changes: Any) -> Task:
    """A permanently failed task."""
    task = await create(client, max_attempts=1, **changes)
    await worker.finish(await worker.claim_one(), Failed("broken", timedelta(0)))
    return task


async def test_a_replay_resets_attempts_and_each_end_has_a_callback(
    client: AsyncClient, operator: Operator, database: asyncpg.Connection
) -> None:
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    task = await killed(client, worker, callback_url=HOOK)
    replayed = await operator.replay(by(), task.task_id)
    assert (replayed.status, replayed.attempt, replayed.finished_at) == (TaskStatus.PENDING, 0, None)
    claimed = await worker.claim_one()
    assert claimed.attempt == 1
    assert await worker.finish(claimed, Completed({})) == "applied"
    parents = await database.fetch("select parent from public.tasks where kind = 'callback'")
    assert [found["parent"] for found in parents] == [task.task_id] * 2


async def test_an_outcome_from_before_the_replay_is_lost(client: AsyncClient, operator: Operator) -> None:
    worker, task = Claimer(client), await create(client, max_attempts=1)
    claimed = await worker.claim_one()
    await worker.finish(claimed, Failed("broken", None))
    await operator.replay(by(), task.task_id)
    assert verdict(await worker.sync({claimed.lease: Completed({})})) == "lost"


@pytest.mark.parametrize("state", ["pending", "running", "completed", "cancelled"])
async def test_only_dead_letters_are_replayed(
    state: str, client: AsyncClient, operator: Operator, database: asyncpg.Connection
) -> None:
    task, worker = await create(client), Claimer(client)
    if state == "cancelled":
        await TaskStateManager(client).cancel_task(task.task_id)
    elif state != "pending":
        claimed = await worker.claim_one()
        if state == "completed":
            await worker.finish(claimed, Completed({}))
    before = await row(database, task.task_id)
    with pytest.raises(NothingToDo, match=state):
        await operator.replay(by(), task.task_id)
    with pytest.raises(TaskNotFound):
        await operator.replay(by(), uuid4())
    assert (await row(database, task.task_id), await operator.audit_entries()) == (before, AuditPage((), None))


async def test_a_replayed_digest_ignores_the_fetch_that_failed_before(client: AsyncClient, operator: Operator) -> None:
    tasks, worker = TaskStateManager(client), Claimer(client, kinds=[TaskKind.FETCH])
    digest = await create(client, kind=TaskKind.DIGEST, max_attempts=1)
    first = await tasks.ensure_fetch(DAY, waiting=digest.task_id)
    await worker.finish(await worker.claim_one(), Failed("arXiv is down", None))
    assert (await tasks.ensure_fetch(DAY, waiting=digest.task_id)).task_id == first.task_id
    writer = Claimer(client, kinds=[TaskKind.DIGEST])
    await writer.finish(await writer.claim_one(), Failed("no edition", None))
    await operator.replay(by(), digest.task_id)
    assert (await tasks.ensure_fetch(DAY, waiting=digest.task_id)).task_id != first.task_id


async def test_tasks_of_a_kind_and_period_are_replayed_in_batches(
    client: AsyncClient, operator: Operator, database: asyncpg.Connection
) -> None:
    worker = Claimer(client)
    died = [await killed(client, worker, kind=kind) for kind in [TaskKind.FETCH] * 5 + [TaskKind.DIGEST]]
    await database.execute(
        "update public.queue set updated_at = now() - interval '2 hours' where task_id = $1", died[0].task_id
    )
    actor, after, until = by(), None, None
    since, counted = datetime.now(UTC) - timedelta(hours=1), list[int]()
    while True:
        step = await operator.replay_dead(actor, TaskKind.FETCH, since=since, until=until, after=after, step=2)
        again = await operator.replay_dead(actor, TaskKind.FETCH, since=since, until=until, after=after, step=2)
        assert step == again, "a repeated step changes nothing"
        counted.append(step.replayed)
        after, until = step.next, step.until
        if after is None:
            break
        # A task that fails again meanwhile is not replayed twice.
        for task in await worker.claim():
            await worker.finish(task, Failed("again", None))
    assert (sum(counted), max(counted), len(counted)) == (4, 2, 3)
    later = await operator.replay_dead(by(), TaskKind.FETCH, until=until)
    assert later.replayed == 1, "only the task from before `since`: others failed again after `until`"
    assert await database.fetchval("select max(replays) from public.tasks") == 1
    assert (await TaskStateManager(client).get_task(died[5].task_id)).status is TaskStatus.FAILED


@pytest.mark.parametrize("end", [Completed({"status": 204}), Failed("no", None), Failed("later", LEASE)])
async def test_a_callback_is_redelivered_however_it_ended(
    end: Completed | Failed, client: AsyncClient, operator: Operator, database: asyncpg.Connection
) -> None:
    task, worker = await create(client, callback_url=HOOK), Claimer(client, kinds=[TaskKind.CALLBACK])
    await TaskStateManager(client).cancel_task(task.task_id)
    first = await worker.claim_one()
    with pytest.raises(NothingToDo, match="being delivered"):
        await operator.redeliver(by(), first.task_id)
    await worker.finish(first, end)
    assert (await operator.redeliver(by(), first.task_id)).status is TaskStatus.PENDING
    second = await worker.claim_one()
    assert (second.task_id, second.payload) == (first.task_id, first.payload)
    await worker.finish(second, Completed({}))
    assert (await operator.orphaned_tasks()).task_ids == ()
    assert await database.fetchval("select count(*) from public.tasks") == 2
    with pytest.raises(TaskNotFound):
        await operator.redeliver(by(), task.task_id)


async def test_missing_settings_are_shown_with_the_worker(
    client: AsyncClient, operator: Operator, database: asyncpg.Connection
) -> None:
    lacking, whole, gone = [uuid4() for _ in range(3)]
    configuration = WorkerConfiguration(client)
    await configuration.report(gone, {"MAIL_URL": "no mails"}, [])
    await database.execute("update public.worker_configuration set reported_at = now() - interval '25 hours'")
    await configuration.report(lacking, {"MAIL_URL": "no mails"}, [])
    for worker_id in (lacking, whole):
        queue = TaskQueue(client, worker_id=worker_id, kinds=list(TaskKind), lease=LEASE)
        await queue.sync(queue.prepare(outcomes={}, slots=0))
    expected = {lacking: {"MAIL_URL": "no mails"}, whole: {}}
    for workers in (await operator.workers(), (await operator.overview()).workers):
        assert {worker.worker_id: worker.not_configured for worker in workers} == expected
    assert await database.fetch("select 1 from public.worker_configuration where worker_id = $1", gone) == []
    # A worker that still has tasks stays in the list, however old its heartbeat is.
    await database.execute("update public.worker_configuration set reported_at = now() - interval '25 hours'")
    await configuration.report(uuid4(), {}, [])
    assert [worker.not_configured for worker in await operator.workers() if worker.worker_id == lacking] != [{}]


async def test_circuit_breakers_of_removed_sources_disappear(client: AsyncClient) -> None:
    breakers, configuration, worker_id = CircuitBreakers(client), WorkerConfiguration(client), uuid4()
    for name in ("arxiv", "feed:gone"):
        with pytest.raises(ValueError, match="down"):
            async with breakers.guard(name):
                raise ValueError("down")
    queue = TaskQueue(client, worker_id=worker_id, kinds=list(TaskKind), lease=LEASE)
    await queue.sync(queue.prepare(outcomes={}, slots=0))
    await TaskStats(client).report(worker_id, 1, {})
    assert [each.name for each in await breakers.states()] == ["arxiv", "feed:gone"], "a worker has not reported yet"
    await configuration.report(worker_id, {}, ["arxiv"])
    await TaskStats(client).report(worker_id, 2, {})
    assert [each.name for each in await breakers.states()] == ["arxiv"]


async def test_workers_are_listed_with_host_and_version(
    client: AsyncClient, operator: Operator, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 5)
    worker_id = uuid4()
    queue = TaskQueue(client, worker_id=worker_id, kinds=list(TaskKind), lease=LEASE, host="h1", version="0.2.0")
    await queue.sync(queue.prepare(outcomes={}, slots=3))
    (found,) = await operator.workers()
    assert (found.worker_id, found.host, found.version, found.running_tasks) == (worker_id, "h1", "0.2.0", 3)
    assert found.last_seen_seconds < 60
    await let_look(database)
    newer = TaskQueue(client, worker_id=worker_id, kinds=list(TaskKind), lease=LEASE, host="h1", version="0.3.0")
    newer.prepare(outcomes={}, slots=0)
    await newer.sync(newer.prepare(outcomes={}, slots=0))
    assert [worker.version for worker in await operator.workers()] == ["0.3.0"]


async def test_invalid_times_and_owners_are_refused_with_a_reason(stack: Ready) -> None:
    async with callers_of(stack) as callers:
        for moment in ("0001-01-01T00:00:00+20:00", "9999-12-31T23:00:00-20:00", "2026-01-01T00:00:00"):
            body = {"kind": "fetch", "since": moment}
            assert (await callers.root.post("/v1/admin/replays", json=body)).status_code == 422
        far = await callers.root.post("/v1/admin/replays", json={"kind": "fetch", "since": "2026-01-01T00:00:00+20:00"})
        assert (far.status_code, far.json()["replayed"]) == (200, 0)
        for cursor in ("x", "2026-01-01T00:00:00Z"):
            assert (await callers.root.get("/v1/admin/audit", params={"cursor": cursor})).status_code == 400
        for owner in ("\0", "a\n", "x" * 40):
            assert (await callers.root.get("/v1/tasks", params={"owner": owner})).status_code == 422


async def test_pages_of_the_audit_list_entries_of_one_moment_once(
    operator: Operator, database: asyncpg.Connection
) -> None:
    await database.execute(
        "insert into public.audit (audit_id, created_at, actor, action, details, response)"
        " select gen_random_uuid(), timestamptz '2026-11-01 00:00:00.123456+00', 'root', 'pause', '{}', '{}'"
        " from generate_series(1, 5)"
    )
    found, cursor = [], None
    for expected in (2, 2, 1):
        page = await operator.audit_entries(limit=2, cursor=cursor)
        assert len(page.entries) == expected
        found += [entry.audit_id for entry in page.entries]
        cursor = page.next_cursor
    assert cursor is None
    assert len(set(found)) == 5


async def test_orphaned_tasks_are_shown(client: AsyncClient, operator: Operator, database: asyncpg.Connection) -> None:
    task = await create(client)
    assert await operator.orphaned_tasks() == OrphanedTaskPage(task_ids=(), next=None)
    await database.execute("delete from public.queue where task_id = $1", task.task_id)
    assert await operator.orphaned_tasks() == OrphanedTaskPage(task_ids=(task.task_id,), next=None)


async def test_pages_of_orphaned_tasks_list_each_task_once(stack: Ready, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 5)
    await database.execute("delete from public.queue where true")
    await insert_tasks(database, 1)
    pages = await pages_of_orphaned_tasks(stack)
    assert [len(page) for page in pages] == [2, 2, 1]
    orphaned = (
        "select t.task_id::text from public.tasks t left join public.queue q using (task_id) where q.kind is null"
    )
    assert [task_id for page in pages for task_id in page] == sorted(
        row["task_id"] for row in await database.fetch(orphaned)
    )


async def test_each_page_of_orphaned_tasks_reads_so_many_tasks(database: asyncpg.Connection) -> None:
    """Of 11 tasks, of which the third by id is orphaned, a page of four finds it, and the last page is shorter."""
    await insert_tasks(database, 11)
    ids = [row["task_id"] for row in await database.fetch("select task_id from public.tasks order by task_id")]
    await database.execute("delete from public.queue where task_id = $1", ids[2])
    pages, after = [], None
    for _ in range(3):
        page = json.loads(await database.fetchval("select public.orphaned_tasks($1, 2, 4)", after))
        pages.append(page["task_ids"])
        after = page["next"]
    assert pages == [[str(ids[2])], [], []]
    assert after is None


async def test_a_full_last_page_of_orphaned_tasks_has_no_cursor(stack: Ready, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 2)
    await database.execute("delete from public.queue where true")
    assert [len(page) for page in await pages_of_orphaned_tasks(stack)] == [2]


async def pages_of_orphaned_tasks(stack: Ready) -> list[list[str]]:
    """The ids of each page, two tasks a page, at most five pages."""
    pages: list[list[str]] = []
    query: dict[str, Any] = {"limit": 2}
    async with callers_of(stack) as callers:
        while len(pages) < 5:
            page = (await callers.root.get("/v1/admin/orphaned_tasks", params=query)).json()
            pages.append(page["task_ids"])
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
    return pages
