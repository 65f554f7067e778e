"""The periodic job that enqueues due readers, on a real database."""

import asyncio
from random import Random

import asyncpg
from supabase import AsyncClient

from app.persistence.schedule import Schedule
from tests.support.running_worker import PATIENCE
from tests.support.schedule import add_reader
from worker.periodic.schedule import DueReaderEnqueuer


async def test_many_schedulers_create_one_task_per_due_reader(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    periodic_jobs = [DueReaderEnqueuer(Schedule(client), random=Random(n), interval=0.05) for n in range(4)]
    running = [asyncio.create_task(periodic_job.run()) for periodic_job in periodic_jobs]
    try:
        for number in range(1, 4):
            await add_reader(client)
            await database.execute(
                "update public.readers set next_due_at = next_due_at - interval '1 day'"
                " where reader_id not in (select reader_id from public.tasks where reader_id is not null)"
            )
            async with asyncio.timeout(PATIENCE):
                while await database.fetchval("select count(*) from public.queue") < number:
                    await asyncio.sleep(0.02)
        assert not any(task.done() for task in running)
        assert await database.fetchval("select count(*) from public.tasks") == 3
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
