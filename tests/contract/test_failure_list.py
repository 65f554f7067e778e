"""The list of single failures: filters, order and pages; and its cost with 10,000 failures, in buffers."""

from datetime import date, timedelta
from typing import Any

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskKind, TaskStatus
from app.persistence.operator import Operator
from app.persistence.operator_tasks import OperatorTasks
from app.persistence.outcomes import Failed, Snoozed
from tests.contract.query_plans import buffers, explained
from tests.support.operators import dead_tasks
from tests.support.tasks import Claimer, create, insert_tasks

PAGES = "select sum(pg_relation_size(c) / 8192) from unnest(array['public.queue', 'public.tasks']::regclass[]) c"


@pytest.fixture
def listed(client: AsyncClient) -> OperatorTasks:
    return OperatorTasks(client)


async def test_failures_are_filtered_by_each_property(listed: OperatorTasks, database: asyncpg.Connection) -> None:
    await dead_tasks(database, "digest", "HTTP 503 from the model")
    await dead_tasks(database, "fetch", "feed 100% Broken_")
    await database.execute("update public.tasks set owner = 'eve', source_date = '2026-03-05' where kind = 'fetch'")

    async def kinds(**filters: Any) -> list[str]:
        page = await listed.list_failures(**filters)
        return sorted(task.kind.value for task in page.tasks)

    assert await kinds() == ["digest", "fetch"]
    for fetch in ({"kind": TaskKind.FETCH}, {"owner": "eve"}, {"source_date": date(2026, 3, 5)}, {"text": "broken_"},
                  {"text": "100%"}, {"cause": "feed <number>% Broken_"}):  # fmt: skip
        assert await kinds(**fetch, status=TaskStatus.FAILED) == ["fetch"], fetch
    for none in ({"text": "b_oken"}, {"text": "\0"}, {"owner": "bob"}, {"cause": "feed"}):
        found = await kinds(**none)
        assert found == (["digest", "fetch"] if none == {"text": "\0"} else []), none


async def test_unfinished_tasks_with_an_error_are_failures_too(client: AsyncClient, listed: OperatorTasks) -> None:
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    failing, waiting = await create(client), await create(client)
    claimed = {task.task_id: task for task in await worker.claim(2)}
    await worker.finish(claimed[failing.task_id], Failed("HTTP 503", timedelta(0)))
    await worker.finish(claimed[waiting.task_id], Snoozed(timedelta(hours=1), "arXiv is busy"))
    await create(client, source_date=None)
    running = (await worker.claim_one()).task_id
    assert running == failing.task_id
    assert [task.task_id for task in (await listed.list_failures()).tasks] == [running, waiting.task_id]
    for status, found in ((TaskStatus.RUNNING, [running]), (TaskStatus.PENDING, [waiting.task_id]),
                          (TaskStatus.FAILED, []), (TaskStatus.COMPLETED, [])):  # fmt: skip
        assert [task.task_id for task in (await listed.list_failures(status=status)).tasks] == found


async def test_the_newest_failure_is_first_and_pages_are_complete(
    listed: OperatorTasks, database: asyncpg.Connection
) -> None:
    await dead_tasks(database, "digest", "HTTP 500", 7)
    # Created in the opposite order, and three of them failed at one moment.
    await database.execute("update public.tasks set created_at = now() - (now() - finished_at) * -1")
    await database.execute(
        "update public.tasks set finished_at = (select max(finished_at) from public.tasks)"
        " where task_id in (select task_id from public.tasks order by finished_at desc limit 3)"
    )
    expected = await database.fetch("select task_id from public.tasks order by finished_at desc, task_id desc")
    seen, cursor = [], None
    while True:
        page = await listed.list_failures(status=TaskStatus.FAILED, limit=2, cursor=cursor)
        seen += [task.task_id for task in page.tasks]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == [row["task_id"] for row in expected]


async def test_ten_thousand_failures_cost_a_pass_over_two_tables(
    client: AsyncClient, listed: OperatorTasks, database: asyncpg.Connection
) -> None:
    for kind, error, count in (("digest", "HTTP 500", 6000), ("fetch", "timed out", 3000), ("delivery", "550", 1000)):
        await dead_tasks(database, kind, error, count)
    await insert_tasks(database, 2000)
    await database.execute("vacuum analyze public.queue, public.tasks")
    assert sorted(group.tasks for group in await Operator(client).failure_groups()) == [1000, 3000, 6000]
    assert len((await listed.list_failures(status=TaskStatus.FAILED, text="timed")).tasks) == 50
    pages = await database.fetchval(PAGES)
    groups = "select public.failure_groups(50)"
    failures = "select public.list_failures(null, null, 'failed', null, null, 'timed', null, null, 51)"
    for query in (groups, failures):
        await explained(database, query)  # plans it
    # The groups read the queue once, and one row of each group.
    assert buffers(await explained(database, groups)) < 2 * pages
    # If the plan reads each failure's task by its key, that is four pages.
    assert buffers(await explained(database, failures)) < 4 * 10_000 + pages
