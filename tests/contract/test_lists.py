"""Lists of tasks: each filter finds its tasks, page by page, and reads few of 100,000 rows."""

import json
from collections.abc import AsyncIterator
from datetime import date, timedelta
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskKind, TaskStatus
from app.persistence.outcomes import Completed, Failed
from app.persistence.readers import Readers
from app.persistence.tasks import TaskStateManager
from embedded.stack import Ready
from tests.support.database_reset import database_reset
from tests.support.tasks import DAY, Claimer, create, insert_tasks

PAGE = 7
MANY = 100_000


@pytest.mark.parametrize("limit", [PAGE, PAGE + 1, 100])
async def test_pages_of_tasks_have_the_requested_length_and_a_cursor(
    limit: int, client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 130, kind="digest")
    await insert_tasks(database, 5)
    # Equal times are the usual error of cursors.
    await database.execute("update public.tasks set created_at = date_trunc('hour', now())")
    tasks, sizes, seen, cursor = TaskStateManager(client), [], set(), None
    while True:
        page = await tasks.list_tasks(kind=TaskKind.DIGEST, limit=limit, cursor=cursor)
        sizes.append(len(page.tasks))
        seen |= {task.task_id for task in page.tasks}
        if (cursor := page.next_cursor) is None:
            break
    assert (sum(sizes), len(seen)) == (130, 130)
    assert set(sizes[:-1]) == {limit}


@pytest.mark.parametrize("status", [None, TaskStatus.PENDING, TaskStatus.COMPLETED])
@pytest.mark.parametrize("source_date", [None, DAY])
@pytest.mark.parametrize("owner", [None, "default"])
async def test_a_list_has_tasks_of_each_kind(
    status: TaskStatus | None,
    source_date: date | None,
    owner: str | None,
    client: AsyncClient,
    database: asyncpg.Connection,
) -> None:
    for kind in TaskKind:
        for each in (TaskStatus.PENDING, TaskStatus.COMPLETED):
            await insert_tasks(database, 1, kind=kind, status=each)
    await database.execute("update public.tasks set source_date = $1", DAY)
    page = await TaskStateManager(client).list_tasks(owner=owner, status=status, source_date=source_date)
    statuses = [status] if status else [TaskStatus.PENDING, TaskStatus.COMPLETED]
    assert {(task.kind, task.status) for task in page.tasks} == {(kind, each) for kind in TaskKind for each in statuses}


@pytest.mark.parametrize(("there", "sizes"), [(0, [0]), (1, [1]), (PAGE, [PAGE]), (PAGE + 1, [PAGE, 1])])
async def test_the_last_page_of_readers_has_no_cursor(there: int, sizes: list[int], client: AsyncClient) -> None:
    readers, found, cursor = Readers(client), [], None
    for number in range(there):
        await readers.create("web", {"reader_id": str(uuid4()), "external_id": f"r{number}", "name": "Ada"})
    while True:
        page = await readers.list_page("web", limit=PAGE, cursor=cursor)
        found.append(len(page.readers))
        if (cursor := page.next_cursor) is None:
            break
    assert found == sizes


async def test_each_filter_returns_only_matching_tasks(client: AsyncClient) -> None:
    tasks, worker = TaskStateManager(client), Claimer(client)
    made = {name: (await create(client, kind=kind)).task_id for name, kind in KINDS.items()}
    for claimed in await worker.claim(3):
        if claimed.task_id == made["failed"]:
            await worker.finish(claimed, Failed("no", None))
        elif claimed.task_id == made["completed"]:
            await worker.finish(claimed, Completed({}))
    await tasks.cancel_task(made["cancelled"])
    for status in TaskStatus:
        page = await tasks.list_tasks(status=status)
        assert [task.task_id for task in page.tasks] == [made[status.value]]
        assert [task.status for task in page.tasks] == [status]
        assert (await tasks.list_tasks(status=status, source_date=DAY)).tasks == page.tasks
        assert (await tasks.list_tasks(status=status, source_date=DAY + timedelta(days=1))).tasks == ()
    digests = await tasks.list_tasks(kind=TaskKind.DIGEST)
    assert {task.task_id for task in digests.tasks} == {made["cancelled"], made["pending"]}
    newest_first = sorted((await tasks.list_tasks()).tasks, key=lambda task: task.created_at, reverse=True)
    assert [task.task_id for task in newest_first] == [made[name] for name in reversed(KINDS)]


KINDS = {
    "failed": TaskKind.FETCH,
    "completed": TaskKind.FETCH,
    "running": TaskKind.FETCH,
    "cancelled": TaskKind.DIGEST,
    "pending": TaskKind.DIGEST,
}
"""The final statuses of the test's tasks, in the order of their creation; the first three are claimed."""

FILTERS = {
    "none": {},
    "a kind": {"p_kind": "digest"},
    "a kind that is rare": {"p_kind": "callback"},
    "an owner": {"p_owner": "default"},
    "pending": {"p_status": "pending"},
    "running": {"p_status": "running"},
    "failed": {"p_status": "failed"},
    "completed": {"p_status": "completed"},
    "cancelled": {"p_status": "cancelled"},
    "a day": {"p_source_date": "2026-03-04"},
    "a day, a rare kind": {"p_source_date": "2026-03-04", "p_kind": "fetch"},
    "a day, another owner": {"p_source_date": "2026-03-04", "p_owner": "ada"},
    "a day, cancelled": {"p_source_date": "2026-03-04", "p_status": "cancelled"},
    "behind a cursor": {"p_before": "2026-03-04T00:00:00Z", "p_before_id": "00000000-0000-4000-8000-000000000000"},
}


@pytest.mark.parametrize("name", FILTERS)
async def test_a_list_reads_few_of_many_rows(name: str, many: asyncpg.Connection) -> None:
    arguments = ", ".join(f"{key} => '{value}'" for key, value in (UNFILTERED | FILTERS[name]).items() if value)
    missing = ", ".join(f"{key} => null" for key, value in (UNFILTERED | FILTERS[name]).items() if value is None)
    query = f"select public.list_tasks({arguments}{', ' if missing else ''}{missing})"
    await many.fetchval(query)  # caches the plans
    plan = json.loads(await many.fetchval(f"explain (analyze, buffers, format json) {query}"))[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 1_000, "of some 3,000 that the table has"


async def test_the_operators_overview_reads_few_of_many_rows(many: asyncpg.Connection) -> None:
    """A week of task statistics of five kinds has 50,000 rows, of which it needs the last hours."""
    await many.execute(
        "insert into public.task_stats (minute, kind, completed) select now() - make_interval(mins => m), kind, 1"
        " from generate_series(0, 10079) m, unnest(array['a', 'b', 'c', 'd', 'e']) kind; analyze public.task_stats"
    )
    query = "select public.operator_overview(6)"
    await many.fetchval(query)  # caches the plans
    plan = json.loads(await many.fetchval(f"explain (analyze, buffers, format json) {query}"))[0]["Plan"]
    await many.execute("truncate public.task_stats")
    # The tokens since midnight are in up to 7,200 rows.
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 1_500


async def test_a_reopened_task_is_not_listed_as_cancelled(client: AsyncClient, database: asyncpg.Connection) -> None:
    tasks = TaskStateManager(client)
    reopened, removed = (await create(client)).task_id, (await create(client)).task_id
    for task_id in (reopened, removed):
        await tasks.cancel_task(task_id)
    assert {task.task_id for task in (await tasks.list_tasks(status=TaskStatus.CANCELLED)).tasks} == {reopened, removed}
    await database.execute("select public.reopen_tasks(array[$1]::uuid[])", reopened)
    await database.execute("delete from public.tasks where task_id = $1", removed)
    assert (await tasks.list_tasks(status=TaskStatus.CANCELLED)).tasks == ()
    assert await database.fetchval("select count(*) from public.cancelled_tasks") == 0


UNFILTERED: dict[str, str | None] = {
    **dict.fromkeys(("p_owner", "p_kind", "p_status", "p_source_date", "p_before", "p_before_id")),
    "p_limit": "51",
}


@pytest.fixture
async def many(stack: Ready) -> AsyncIterator[asyncpg.Connection]:
    """A table of 100,000 ended tasks and a busy queue, kept for the next test, so tests that use it are neighbours."""
    database = await asyncpg.connect(stack.database_url)
    if await database.fetchval("select count(*) from public.tasks") != MANY + 2_200:
        await database_reset(database)
        await fill(database)
    yield database
    await database.close()


async def fill(database: asyncpg.Connection) -> None:
    await insert_tasks(database, MANY, status="completed", kind="digest")
    await insert_tasks(database, 2_000, status="completed")
    await insert_tasks(database, 200)
    await database.execute("update public.tasks set source_date = '2026-03-04' where kind = 'digest'")
    await database.execute("vacuum full public.tasks")
    await database.execute(
        "update public.queue set dead_letter = true where task_id in (select task_id from public.queue limit 60)"
    )
    await database.execute(
        "update public.tasks set status = 'failed', finished_at = now()"
        " where task_id in (select task_id from public.queue where dead_letter)"
    )
    await database.execute("vacuum analyze public.tasks, public.queue")
