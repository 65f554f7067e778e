"""Ends and repetitions of attempts: timed out, failed, snoozed; and running attempts when the worker stops."""

from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.errors import PermanentError
from app.models.tasks import TaskKind
from app.persistence.tasks import TaskStateManager
from embedded.stack import Ready
from tests.support.proxy import Answer, Call, Proxy, no_interference
from tests.support.running_worker import BlockedHandler, StartWorker, until, until_calls, until_ended
from tests.support.stack_process import settings_for
from tests.support.tasks import create
from worker.job import Job, Snooze

HOUR = timedelta(hours=1)


async def wait_left(database: asyncpg.Connection, task_id: UUID) -> timedelta:
    """The delay with which the task returned to the queue."""
    found = await database.fetchval("select run_at - updated_at from public.queue where task_id = $1", task_id)
    assert isinstance(found, timedelta)
    return found


async def let_it_come(database: asyncpg.Connection, task_id: UUID) -> None:
    """Make the next attempt of a task due."""
    await database.execute("update public.queue set run_at = now() where task_id = $1", task_id)


@pytest.mark.parametrize("attempts", [1, 2])
async def test_a_handler_over_its_time_limit_fails_its_attempt(
    attempts: int, client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    handler = BlockedHandler()
    await start_worker(handler, time_limit=0.2, retry_delay=lambda *_: timedelta(0))
    task = await create(client, max_attempts=attempts)
    ended = await until_ended(database, task.task_id)
    assert (ended["status"], ended["attempt"], ended["error"]) == ("failed", attempts, "not done within 0.2 s")
    assert handler.cancelled.is_set()


async def test_a_failed_attempt_is_retried_after_its_delay(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    reports: list[tuple[int, str]] = []

    def delay(attempt: int, error: BaseException, _random: Random) -> timedelta:
        reports.append((attempt, str(error)))
        return HOUR * attempt

    async def work(job: Job) -> dict[str, Any]:
        if job.task.attempt < 3:
            raise ValueError(f"attempt {job.task.attempt}")
        return {}

    await start_worker(work, retry_delay=delay)
    task = await create(client)
    for attempt in (1, 2):
        failed = "select error like $2 from public.queue where task_id = $1 and worker_id is null"
        await until(database, failed, task.task_id, f"%attempt {attempt}")
        assert await wait_left(database, task.task_id) == HOUR * attempt
        await let_it_come(database, task.task_id)
    assert (await until_ended(database, task.task_id))["attempt"] == 3
    assert reports == [(1, "attempt 1"), (2, "attempt 2")]


async def test_a_permanent_error_is_not_retried(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    async def work(_job: Job) -> dict[str, Any]:
        raise PermanentError("never")

    await start_worker(work)
    task = await create(client)
    ended = await until_ended(database, task.task_id)
    assert (ended["status"], ended["attempt"], ended["error"]) == ("failed", 1, "never")


async def test_a_snoozed_task_returns_and_uses_no_attempt(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    attempts: list[int] = []

    async def work(job: Job) -> dict[str, Any]:
        attempts.append(job.task.attempt)
        if len(attempts) < 3:
            raise Snooze(HOUR, f"busy {len(attempts)}")
        return {}

    await start_worker(work)
    task = await create(client, max_attempts=1)
    for time in (1, 2):
        snoozed = "select message = $2 from public.queue where task_id = $1"
        await until(database, snoozed, task.task_id, f"busy {time}")
        assert await wait_left(database, task.task_id) == HOUR
        await let_it_come(database, task.task_id)
    ended = await until_ended(database, task.task_id)
    assert (ended["status"], ended["attempt"], attempts) == ("completed", 1, [1, 1, 1])


async def test_a_supabase_outage_in_a_handler_uses_no_attempt(
    client: AsyncClient,
    database: asyncpg.Connection,
    proxy: Proxy,
    start_worker: StartWorker,
    stack: Ready,
) -> None:
    async def down(_call: Call) -> Answer:
        return Answer(503, "<html>upstream unavailable</html>")

    proxy.before = down
    async with open_supabase(settings_for(replace(stack, url=proxy.url))) as through_proxy:

        async def work(_job: Job) -> dict[str, Any]:
            await TaskStateManager(through_proxy).get_task(task.task_id)
            return {}

        task = await create(client, max_attempts=1)
        await start_worker(work)
        for _ in range(2):
            snoozed = "select message ~ '503' and snoozed_since is not null from public.queue where task_id = $1"
            await until(database, snoozed, task.task_id)
            await database.execute("update public.queue set message = '' where task_id = $1", task.task_id)
            await let_it_come(database, task.task_id)
        proxy.before = no_interference
        ended = await until_ended(database, task.task_id)
    assert (ended["status"], ended["attempt"]) == ("completed", 1)


async def test_a_snooze_ends_when_its_awaited_task_ends(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    fetching = BlockedHandler()
    fetch = await create(client, kind=TaskKind.FETCH)

    async def digest(_job: Job) -> dict[str, Any]:
        if not fetching.may_end.is_set():
            raise Snooze(HOUR, "not fetched", fetch.task_id)
        return {}

    await start_worker({TaskKind.FETCH: fetching, TaskKind.DIGEST: digest})
    await fetching.begun.wait()
    waiting = await create(client, kind=TaskKind.DIGEST)
    await until(database, "select waits_for is not null from public.queue where task_id = $1", waiting.task_id)
    assert await wait_left(database, waiting.task_id) == HOUR
    fetching.may_end.set()
    ended = await until_ended(database, waiting.task_id)
    assert (ended["status"], ended["attempt"]) == ("completed", 1)


async def test_a_worker_that_stops_finishes_tasks_and_claims_none(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    handler = BlockedHandler()
    worker = await start_worker(handler, grace=30)
    task = await create(client)
    await handler.begun.wait()
    stopping = worker.begin_to_stop()
    turns = worker.calls
    late = await create(client)
    await until_calls(worker, turns + 2)
    handler.may_end.set()
    await stopping
    assert (await until_ended(database, task.task_id))["status"] == "completed"
    assert await database.fetchval("select attempt from public.queue where task_id = $1", late.task_id) == 0


async def test_tasks_unfinished_after_the_grace_period_are_released(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    handler = BlockedHandler()
    worker = await start_worker(handler, grace=0.1)
    task = await create(client)
    await handler.begun.wait()
    await worker.stop()
    assert handler.cancelled.is_set()
    left = await database.fetchrow("select attempt, worker_id from public.queue where task_id = $1", task.task_id)
    assert tuple(left) == (0, None)
    assert await wait_left(database, task.task_id) <= timedelta(0)
