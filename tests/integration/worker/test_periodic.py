"""Each periodic job with the real client: its times, and that an outage of Supabase does not end it."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from random import Random

import asyncpg
import pytest
from supabase import AsyncClient

import worker.periodic.retention
from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.config.fetch_times import FetchTimes
from app.persistence.maintenance import Maintenance
from app.persistence.tasks import TaskStateManager
from embedded.stack import Ready
from tests.support.proxy import Answer, Proxy, Times
from tests.support.running_worker import until
from tests.support.tasks import insert_tasks
from worker.periodic.daily_fetch import DAYS, DailyFetch
from worker.periodic.retention import Retention

AWAY = Answer(401, '{"message": "Invalid API key"}')
OLD_DIGESTS = """
insert into public.digests (task_id, owner, source_date, reader_id, local_day, digest, created_at)
select gen_random_uuid(), 'default', now() - age * interval '1 day', gen_random_uuid(), now() - age * interval '1 day',
       '{}', now() - age * interval '1 day'
  from generate_series(725.5, 754.5) age
"""
OLD = "update public.tasks set created_at = now() - interval '31 days', finished_at = now() - interval '31 days'"


def settings(stack: Ready, url: str) -> SupabaseSettings:
    return SupabaseSettings.model_validate(
        {"supabase_url": url, "supabase_key": stack.secret_key, "supabase_retries": 0}
    )


async def test_retention_continues_until_a_batch_is_not_full(client: AsyncClient, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 25, status="completed")
    await database.execute(OLD)
    await database.execute(OLD_DIGESTS)
    await Retention(
        Maintenance(client, batch=10),
        task_days=30,
        edition_days=30,
        digest_days=730,
        delivery_days=90,
        random=Random(1),
    ).run_once()
    assert await database.fetchval("select count(*) from public.tasks") == 0
    assert await database.fetchval("select count(*) from public.digests") == 5, "those of the last two years"


async def test_retention_is_retried_when_supabase_is_unreachable(
    stack: Ready, database: asyncpg.Connection, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.periodic.retention, "RETENTION_INTERVAL", timedelta(seconds=0.01))
    await insert_tasks(database, 3, status="completed")
    await database.execute(OLD)
    proxy.before = away = Times(AWAY, 2, lambda call: call.name == "apply_retention")
    async with open_supabase(settings(stack, proxy.url)) as client:
        periodic_job = Retention(
            Maintenance(client), task_days=30, edition_days=30, digest_days=730, delivery_days=90, random=Random(1)
        ).run()
        running = asyncio.create_task(periodic_job)
        await until(database, "select not exists (select from public.tasks)")
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert away.given


class Clock:
    """A clock that each sleep advances, for a limited number of sleeps."""

    def __init__(self, now: datetime, sleeps: int) -> None:
        self.now = now
        self.slept: list[float] = []
        self._sleeps = sleeps

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == self._sleeps:
            raise asyncio.CancelledError
        self.now += timedelta(seconds=seconds)


async def run(client: AsyncClient, clock: Clock, at: time) -> None:
    periodic_job = DailyFetch(TaskStateManager(client), FetchTimes((at,)), now=lambda: clock.now, sleep=clock.sleep)
    with pytest.raises(asyncio.CancelledError):
        await periodic_job.run()


async def test_the_daily_fetch_requests_recent_days_at_its_time(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    clock = Clock(datetime(2026, 3, 5, 4, 30, tzinfo=UTC), sleeps=4)
    await run(client, clock, time(6, 15))
    assert clock.slept == [3600, 2700, 3600, 3600]
    fetches = await database.fetch("select source_date::text, idempotency_key, owner from public.tasks order by 1 desc")
    days = [f"2026-03-0{day}" for day in (4, 3, 2, 1)]
    assert [tuple(row) for row in fetches] == [(day, f"own:daily:2026-03-05:06:15:00:{day}", "system") for day in days]


async def test_the_daily_fetch_is_retried_soon_during_an_outage(
    stack: Ready, database: asyncpg.Connection, proxy: Proxy
) -> None:
    proxy.before = Times(AWAY, 1, lambda call: call.name == "ensure_fetch")
    clock = Clock(datetime(2026, 3, 5, 7, 0, tzinfo=UTC), sleeps=2)
    async with open_supabase(settings(stack, proxy.url)) as client:
        await run(client, clock, time(6))
    assert clock.slept == [60, 3600]
    assert await database.fetchval("select count(*) from public.tasks") == DAYS
