"""The fetch of a day is one task for all requests; its outcome decides what becomes of the digests that wait for it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import asyncpg
import pytest
from supabase import AsyncClient

from app.config.fetch_times import FetchTimes
from app.digest.analysis import ExtractiveAnalyst
from app.digest.service import DigestService, EditionPending
from app.errors import PermanentError
from app.models.articles import EditionStatus
from app.models.profiles import Profile
from app.models.tasks import Task, TaskKind, TaskStatus
from app.persistence.editions import Editions
from app.persistence.idempotency_keys import CallerKey
from app.persistence.maintenance import Maintenance
from app.persistence.outcomes import Completed, Failed
from app.persistence.tasks import TaskStateManager
from app.ranking.ranking import RankingSettings
from tests.support.tasks import DAY, Claimer, create
from worker.periodic.daily_fetch import DailyFetch

ADA = Profile(name="Ada", interests=("ice",))


class Asleep(Exception):
    """The periodic job has done its work and sleeps again."""


async def run_periodic_job(client: AsyncClient) -> None:
    """Run the periodic job of DAILY_FETCH_AT once, on the morning after DAY."""

    async def sleep(_seconds: float) -> None:
        raise Asleep

    morning = datetime.combine(DAY + timedelta(days=1), time(7), UTC)
    with pytest.raises(Asleep):
        await DailyFetch(TaskStateManager(client), FetchTimes((time(6),)), now=lambda: morning, sleep=sleep).run()


async def write(client: AsyncClient, digest: Task) -> None:
    """One attempt of a digest."""

    async def report(_message: str, _progress: float) -> None:
        pass

    tasks, daily = TaskStateManager(client), Editions(client)
    service = DigestService(daily, tasks, ExtractiveAnalyst())
    await service.write(digest.task_id, DAY, ADA, RankingSettings(), report)


async def post_digest(client: AsyncClient) -> Task:
    return await create(client, kind=TaskKind.DIGEST)


async def fetches(client: AsyncClient) -> dict[UUID, TaskStatus]:
    page = await TaskStateManager(client).list_tasks(kind=TaskKind.FETCH, source_date=DAY)
    return {task.task_id: task.status for task in page.tasks}


async def fail_fetch(client: AsyncClient) -> None:
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    await worker.finish(await worker.claim_one(), Failed("arXiv is down", None))


async def request_by_digest(client: AsyncClient) -> None:
    with pytest.raises(EditionPending):
        await write(client, await post_digest(client))


REQUESTERS: list[Callable[[AsyncClient], Awaitable[None]]] = [run_periodic_job, request_by_digest]


@pytest.mark.parametrize("order", [1, -1], ids=["the periodic job first", "the digest first"])
async def test_the_daily_fetch_and_the_digests_share_one_fetch(order: int, client: AsyncClient) -> None:
    for request in REQUESTERS[::order] * 2:
        await request(client)
    assert list((await fetches(client)).values()) == [TaskStatus.PENDING]


async def test_concurrent_requests_for_a_day_share_one_fetch(client: AsyncClient) -> None:
    await asyncio.gather(*(request(client) for request in REQUESTERS * 10))
    assert list((await fetches(client)).values()) == [TaskStatus.PENDING]


async def test_each_scheduled_time_fetches_an_existing_day_again(client: AsyncClient) -> None:
    tasks, worker = TaskStateManager(client), Claimer(client, kinds=[TaskKind.FETCH])
    at = [datetime.combine(DAY + timedelta(days=1), time(hour), UTC) for hour in (6, 18)]

    async def ask(due: datetime) -> UUID:
        return (await tasks.ensure_fetch(DAY, due=due)).task_id

    first = await ask(at[0])
    assert [await ask(due) for due in at] == [first, first], "an unfinished fetch is shared"
    await worker.finish(await worker.claim_one(), Completed({}))
    assert await ask(at[0]) == first
    second = await ask(at[1])
    assert await ask(at[1]) == second != first
    assert await fetches(client) == {first: TaskStatus.COMPLETED, second: TaskStatus.PENDING}


async def test_a_digest_waits_for_the_daily_fetch_of_its_day(client: AsyncClient) -> None:
    digest = await post_digest(client)
    daily = await TaskStateManager(client).ensure_fetch(DAY, due=datetime.combine(DAY, time(6), UTC))
    with pytest.raises(EditionPending) as waiting:
        await write(client, digest)
    assert waiting.value.fetch_id == daily.task_id


async def test_a_digest_fails_with_the_fetch_that_it_waited_for(client: AsyncClient) -> None:
    digest = await post_digest(client)
    with pytest.raises(EditionPending):
        await write(client, digest)
    await fail_fetch(client)
    with pytest.raises(PermanentError, match=f"the edition of {DAY} could not be fetched: arXiv is down"):
        await write(client, digest)
    assert list((await fetches(client)).values()) == [TaskStatus.FAILED]


async def test_a_later_digest_has_the_day_fetched_again(client: AsyncClient) -> None:
    await request_by_digest(client)
    await fail_fetch(client)
    await request_by_digest(client)
    assert sorted((await fetches(client)).values()) == [TaskStatus.FAILED, TaskStatus.PENDING]


async def test_a_fetch_that_a_caller_cancels_fails_no_others_digest(client: AsyncClient) -> None:
    digest = await post_digest(client)
    theirs = await create(client, idempotency_key=CallerKey("k", {}))
    await TaskStateManager(client).cancel_task(theirs.task_id)
    with pytest.raises(EditionPending):
        await write(client, digest)
    # ... nor while its own fetch runs.
    late = await create(client)
    await TaskStateManager(client).cancel_task(late.task_id)
    with pytest.raises(EditionPending):
        await write(client, digest)
    assert sorted((await fetches(client)).values()) == [TaskStatus.CANCELLED, TaskStatus.CANCELLED, TaskStatus.PENDING]


async def test_a_callers_fetch_does_not_hide_a_failed_service_fetch(client: AsyncClient) -> None:
    digest = await post_digest(client)
    with pytest.raises(EditionPending):
        await write(client, digest)
    await fail_fetch(client)
    await create(client)
    with pytest.raises(PermanentError, match="arXiv is down"):
        await write(client, digest)


async def test_a_day_whose_edition_was_removed_is_fetched_again(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    first = await TaskStateManager(client).ensure_fetch(DAY)
    worker = Claimer(client)
    claimed = await worker.claim_one()
    await Editions(client).begin_edition(DAY)
    await Editions(client).finish_edition(DAY, EditionStatus.COMPLETED, {})
    await worker.finish(claimed, Completed({}))
    assert (await TaskStateManager(client).ensure_fetch(DAY)).task_id == first.task_id
    await database.execute("update public.editions set updated_at = now() - interval '31 days'")
    removed = await Maintenance(client).retain(task_days=3650, edition_days=30)
    assert (removed.editions, removed.tasks) == (1, 0)
    again = await TaskStateManager(client).ensure_fetch(DAY)
    assert (again.task_id != first.task_id, again.status) == (True, TaskStatus.PENDING)


async def test_a_complete_day_stays_complete_if_a_second_fetch_fails(client: AsyncClient) -> None:
    editions = Editions(client)
    for status, errors in ((EditionStatus.COMPLETED, {}), (EditionStatus.PARTIAL, {"arxiv": "it answered 503"})):
        await editions.begin_edition(DAY)
        await editions.finish_edition(DAY, status, errors)
        found = await editions.get_edition(DAY)
        assert (found.status, found.errors) == (EditionStatus.COMPLETED, {})
