"""The trace context of a request is stored with its tasks, and with every task that results from them."""

from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.new_task import NewTask
from app.persistence.outcomes import Completed, Failed, Snoozed
from app.persistence.tasks import TaskStateManager
from tests.support.schedule import Clock, add_reader, enqueued, write_digests
from tests.support.spans import recorded_spans
from tests.support.tasks import DAY, SOON, Claimer, create

HOOK = "https://example.com/hook"


async def stored(database: asyncpg.Connection, kind: str) -> list[str | None]:
    rows = await database.fetch("select traceparent from public.tasks where kind = $1 order by task_id", kind)
    return [row["traceparent"] for row in rows]


async def test_a_task_and_its_callback_store_one_context(client: AsyncClient, database: asyncpg.Connection) -> None:
    with recorded_spans() as recorded:
        await create(client, callback_url=HOOK)
    sent = recorded.one("send fetch")
    context = f"00-{sent.trace_id}-{sent.span_id}-01"
    worker = Claimer(client)
    task = await worker.claim_one()
    assert task.trace == context
    await worker.sync({task.lease: Completed({})})
    assert (await worker.claim_one()).trace == context
    assert await stored(database, "callback") == [context]


async def test_an_attempt_after_a_failure_has_the_same_context(client: AsyncClient) -> None:
    with recorded_spans():
        await create(client)
    worker, traces = Claimer(client), set()
    for outcome in (Failed("no", SOON), Snoozed(timedelta(0), "wait"), Completed({})):
        task = await worker.claim_one()
        traces.add(task.trace)
        await worker.sync({task.lease: outcome})
    assert len(traces) == 1


async def test_a_task_without_traces_stores_nothing(client: AsyncClient, database: asyncpg.Connection) -> None:
    """Its callback names it instead, so that a worker with traces can put both into one."""
    created = await create(client, callback_url=HOOK)
    worker = Claimer(client)
    task = await worker.claim_one()
    assert task.trace is None
    await worker.sync({task.lease: Completed({})})
    assert (await worker.claim_one()).trace == str(created.task_id)
    assert [*await stored(database, "fetch"), *await stored(database, "callback")] == [None, None]


async def test_a_delivery_stores_the_context_of_its_digest(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    await add_reader(client, email="ada@example.org")
    await clock.set("2026-11-24T07:30:00Z")
    await enqueued(client, database)
    await database.execute("update public.tasks set traceparent = 'the context' where kind = 'digest'")
    assert await write_digests(client, "Ice") == 1
    assert "the context" in await stored(database, "delivery")


async def test_a_repeated_post_keeps_the_first_context(client: AsyncClient, database: asyncpg.Connection) -> None:
    task_id = uuid4()
    with recorded_spans() as recorded:
        await create(client, task_id=task_id)
        await create(client, task_id=task_id)
    first, second = sorted(
        (span for span in recorded.spans if span.name == "send fetch"), key=lambda each: each.started
    )
    outcomes = [span.attributes["broadsheet.send.outcome"] for span in (first, second)]
    assert outcomes == ["created", "existing"]
    assert await stored(database, "fetch") == [f"00-{first.trace_id}-{first.span_id}-01"]


async def test_each_task_of_a_batch_begins_a_linked_trace(client: AsyncClient, database: asyncpg.Connection) -> None:
    tasks = [NewTask(UUID(int=n), TaskKind.DIGEST, {}, DAY) for n in (1, 2, 3)]
    with recorded_spans() as recorded:
        await TaskStateManager(client).create_tasks(tasks)
    sent, created = recorded.one("send digest"), [span for span in recorded.spans if span.name == "create digest"]
    assert [span.links for span in created] == [(sent.trace_id,)] * 3
    assert set(sent.links) == {span.trace_id for span in created}
    assert len({sent.trace_id, *sent.links}) == 4
    assert await stored(database, "digest") == [f"00-{span.trace_id}-{span.span_id}-01" for span in created]


async def test_a_fetch_continues_the_trace_that_needs_it(client: AsyncClient, database: asyncpg.Connection) -> None:
    with recorded_spans() as recorded:
        await TaskStateManager(client).ensure_fetch(DAY)
    assert await stored(database, "fetch") == [
        f"00-{recorded.one('send fetch').trace_id}-{recorded.one('send fetch').span_id}-01"
    ]
