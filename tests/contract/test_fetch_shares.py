"""The service's own fetches have priority; fetches of callers have a share of the slots and a limit."""

import asyncio
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import FetchLimitReached
from app.fetch_service import FetchService
from app.models.tasks import Task, TaskKind
from app.persistence.outcomes import Completed, Lease
from app.persistence.queue import ClaimedTask
from app.persistence.tasks import CALLER_FETCH_LIMIT, TaskStateManager
from tests.support.tasks import Claimer, create
from worker.handlers.fetch import FetchHandler
from worker.job import Job, Snooze

TODAY = date(2026, 3, 4)
OWN = "select count(*) from public.tasks where owner = 'system'"


def old(number: int) -> date:
    return date(2020, 1, 1) + timedelta(days=number)


async def digest_of(client: AsyncClient, day: date, owner: str = "ada") -> Task:
    return await create(client, kind=TaskKind.DIGEST, source_date=day, owner=owner)


async def ask_for(client: AsyncClient, day: date, owner: str = "ada") -> Task:
    digest = await digest_of(client, day, owner)
    return await TaskStateManager(client).ensure_fetch(day, waiting=digest.task_id)


async def test_the_services_own_fetch_has_priority_over_callers(client: AsyncClient) -> None:
    for number in range(5):
        await ask_for(client, old(number))
    own = await TaskStateManager(client).ensure_fetch(TODAY)
    assert (await Claimer(client, kinds=[TaskKind.FETCH]).claim_one()).task_id == own.task_id


async def test_a_readers_digest_requests_fetches_as_the_service(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    digest = await digest_of(client, TODAY)
    await database.execute("update public.tasks set reader_id = gen_random_uuid() where task_id = $1", digest.task_id)
    fetch = await TaskStateManager(client).ensure_fetch(TODAY, waiting=digest.task_id)
    found = await database.fetchrow("select priority, payload from public.tasks where task_id = $1", fetch.task_id)
    assert tuple(found) == (0, "{}")


async def test_a_callers_day_gets_priority_once_the_service_needs_it(client: AsyncClient) -> None:
    for number in range(3):
        await ask_for(client, old(number))
    theirs = await ask_for(client, TODAY)
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    assert (await TaskStateManager(client).ensure_fetch(TODAY)).task_id == theirs.task_id
    claimed = await worker.claim_one()
    assert (claimed.task_id, claimed.payload) == (theirs.task_id, {})


async def test_a_callers_days_fetched_at_a_time_are_limited(client: AsyncClient, database: asyncpg.Connection) -> None:
    digests = [await digest_of(client, old(number)) for number in range(CALLER_FETCH_LIMIT + 5)]
    tasks = TaskStateManager(client)
    calls = [tasks.ensure_fetch(old(n), waiting=digest.task_id) for n, digest in enumerate(digests)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, FetchLimitReached) for answer in answers) == 5
    assert await database.fetchval(OWN) == CALLER_FETCH_LIMIT
    assert (await ask_for(client, old(900), "bot")).source_date == old(900), "another caller's"
    await tasks.ensure_fetch(TODAY)
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    first, second = await worker.claim(2)
    assert second.payload == {"requested_by": "ada"}
    await worker.sync({task.lease: Completed({}) for task in (first, second)})
    assert (await ask_for(client, old(901))).source_date == old(901), "one has ended"


async def test_a_request_for_a_day_being_fetched_does_not_count(client: AsyncClient) -> None:
    for number in range(CALLER_FETCH_LIMIT):
        await ask_for(client, old(number))
    joined = await ask_for(client, old(3))
    assert joined.source_date == old(3)
    with pytest.raises(FetchLimitReached):
        await ask_for(client, old(500))


class Slow:
    """A fetch service that fetches until the test lets it end."""

    def __init__(self) -> None:
        self.running = 0
        self.go = asyncio.Event()

    async def fetch(self, *_: Any, **__: Any) -> Any:
        self.running += 1
        await self.go.wait()
        return SimpleNamespace(status=SimpleNamespace(value="completed"), counts={}, errors={})


def job(payload: dict[str, Any]) -> Job:
    task = ClaimedTask(Lease(uuid4(), UUID(int=1)), TaskKind.FETCH, 1, 5, timedelta(0), TODAY, payload)
    return Job(task, 0.0, lambda *_: None)


async def test_callers_days_leave_a_slot_for_the_service() -> None:
    slow = Slow()
    handler = FetchHandler(cast(FetchService, slow), cast(TaskStateManager, None), caller_slots=1)
    first = asyncio.create_task(handler(job({"requested_by": "ada"})))
    await asyncio.sleep(0)
    with pytest.raises(Snooze, match="other days are being fetched for callers"):
        await handler(job({"requested_by": "bot"}))
    own = asyncio.create_task(handler(job({})))
    await asyncio.sleep(0)
    assert slow.running == 2
    slow.go.set()
    await asyncio.gather(first, own)
    assert (await handler(job({"requested_by": "bot"})))["status"] == "completed"
