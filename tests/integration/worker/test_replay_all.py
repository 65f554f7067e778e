"""Ten thousand dead letters are replayed while two workers run: each once, in steps within the statement timeout."""

import asyncio
import time
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.operator import Actor, Operator
from tests.support.running_worker import StartWorker
from tests.support.tasks import insert_tasks
from worker.job import Job

DEAD, FRESH = 10_000, 500
LONGEST_STEP = 4.0
"""Seconds: half of Supabase's statement timeout of 8 s, on a loaded machine."""


async def replay_all(client: AsyncClient) -> float:
    """Replay step by step; returns the seconds of the longest step."""
    actor, after, until, longest = Actor(uuid4(), "root"), None, None, 0.0
    while True:
        started = time.monotonic()
        step = await Operator(client).replay_dead(actor, TaskKind.FETCH, until=until, after=after)
        longest = max(longest, time.monotonic() - started)
        after, until = step.next, step.until
        if after is None:
            return longest


async def test_ten_thousand_dead_letters_are_replayed_once(
    start_worker: StartWorker, client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, DEAD, status="failed")
    await database.execute(
        "insert into public.queue (task_id, kind, priority, run_at, max_attempts, attempt, dead_letter, updated_at)"
        " select task_id, kind, priority, now(), max_attempts, 5, true, finished_at from public.tasks"
    )
    await insert_tasks(database, FRESH)
    done: Counter[UUID] = Counter()

    async def work(job: Job) -> dict[str, Any]:
        done[job.task.task_id] += 1
        return {}

    for _ in range(2):
        await start_worker(work, concurrency=100)
    longest = await replay_all(client)
    async with asyncio.timeout(120):
        while await database.fetchval("select count(*) from public.queue"):
            await asyncio.sleep(0.1)
    assert longest < LONGEST_STEP
    assert (len(done), set(done.values())) == (DEAD + FRESH, {1})
    found = await database.fetch("select status, replays, count(*) from public.tasks group by 1, 2 order by 2")
    assert [tuple(row) for row in found] == [("completed", 0, FRESH), ("completed", 1, DEAD)]
