"""Slots of each kind: hanging callback receivers delay neither a fetch nor a digest."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from standardwebhooks import Webhook
from supabase import AsyncClient

from app.config import WorkerSettings
from app.external.callback_sender import CallbackSender
from app.external.client import open_external
from app.models.tasks import TaskKind
from tests.support.callback_receiver import enqueue_deliveries
from tests.support.processes import WEBHOOK_SECRET
from tests.support.running_worker import StartWorker, until_ended
from tests.support.tasks import Claimer, create, insert_tasks
from worker.handlers.callback import CallbackHandler
from worker.job import Job, Work
from worker.opening import worker_limits


class HangingReceiver:
    """Accepts every delivery and never responds."""

    def __init__(self) -> None:
        self.url = ""
        self.hanging = 0
        self.news = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        application = web.Application()
        application.add_routes([web.post("/", self._receive)])
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def until(self, count: int) -> None:
        async with self.news:
            await self.news.wait_for(lambda: self.hanging == count)

    async def _receive(self, _request: web.Request) -> web.Response:
        async with self.news:
            self.hanging += 1
            self.news.notify_all()
        await asyncio.Event().wait()
        raise AssertionError


@pytest.fixture
async def hanging() -> AsyncIterator[HangingReceiver]:
    receiver = HangingReceiver()
    await receiver.start()
    yield receiver
    await receiver.stop()


def settings(**changes: str) -> WorkerSettings:
    return WorkerSettings.model_validate({"supabase_url": "http://x.test", "supabase_key": "sb_secret_x", **changes})


async def test_hanging_callbacks_delay_no_other_kind_of_task(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker, hanging: HangingReceiver
) -> None:
    async def at_once(_job: Job) -> dict[str, Any]:
        return {}

    limits = worker_limits(settings())
    async with open_external() as http:
        deliver = CallbackHandler(CallbackSender(http, [Webhook(WEBHOOK_SECRET)], private=True))
        works: dict[TaskKind, Work] = {TaskKind.CALLBACK: deliver, TaskKind.FETCH: at_once, TaskKind.DIGEST: at_once}
        await enqueue_deliveries(database, hanging.url, 100)
        worker = await start_worker(works, concurrency=limits.concurrency, kind_slots=limits.kind_slots)
        await hanging.until(3)
        for kind in [TaskKind.FETCH, TaskKind.DIGEST] * 3:
            # Created last, so claimed after the callbacks.
            task = await create(client, kind=kind, priority=3)
            assert (await until_ended(database, task.task_id))["status"] == "completed"
        assert (hanging.hanging, worker.running_tasks) == (3, 3)
        await worker.stop()


async def test_hanging_fetches_delay_no_digests_or_callbacks(
    database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    never = asyncio.Event()
    done: asyncio.Queue[TaskKind] = asyncio.Queue()

    async def hang(_job: Job) -> dict[str, Any]:
        await never.wait()
        return {}

    async def at_once(job: Job) -> dict[str, Any]:
        done.put_nowait(job.task.kind)
        return {}

    limits = worker_limits(settings())
    await insert_tasks(database, 50, kind="fetch", priority=0)
    await insert_tasks(database, 5, kind="digest")
    await insert_tasks(database, 5, kind="callback")
    works = {TaskKind.FETCH: hang, TaskKind.DIGEST: at_once, TaskKind.CALLBACK: at_once}
    worker = await start_worker(works, concurrency=limits.concurrency, kind_slots=limits.kind_slots)
    seen = [await done.get() for _ in range(10)]
    assert sorted(seen) == [TaskKind.CALLBACK] * 5 + [TaskKind.DIGEST] * 5
    while worker.running_tasks > 2:
        await asyncio.sleep(0)
    assert await database.fetchval("select count(*) from public.task_records where kind = 'fetch' and attempt > 0") == 2


async def test_a_claim_respects_the_slots_of_each_kind_and_in_total(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    for kind in TaskKind:
        for priority in (0, 2):
            await insert_tasks(database, 10, kind=kind.value, priority=priority)
    queue = Claimer(client).queue
    limits = {TaskKind.FETCH: 2, TaskKind.CALLBACK: 0, TaskKind.DIGEST: 13, TaskKind.DELIVERY: 0, TaskKind.IMPORT: 0}
    call = queue.prepare(outcomes={}, slots=100, kind_slots=limits)
    kinds = [task.kind for task in (await queue.sync(call)).claimed]
    assert (kinds.count(TaskKind.FETCH), kinds.count(TaskKind.DIGEST), len(kinds)) == (2, 13, 15)
    call = queue.prepare(outcomes={}, slots=4, kind_slots={TaskKind.FETCH: 3})
    kinds = [task.kind for task in (await queue.sync(call)).claimed]
    assert (len(kinds), kinds.count(TaskKind.FETCH) <= 3) == (4, True)


async def test_waiting_tasks_without_a_free_slot_cause_no_early_poll(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_tasks(database, 5, kind="callback")
    await insert_tasks(database, 1, kind="digest", delay="1 hour")
    queue = Claimer(client).queue
    call = queue.prepare(outcomes={}, slots=10, kind_slots={TaskKind.CALLBACK: 3})
    answer = await queue.sync(call)
    assert len(answer.claimed) == 3
    assert answer.next_task_seconds is not None
    assert answer.next_task_seconds > 3000


@pytest.mark.parametrize(
    ("changes", "slots"),
    [
        ({}, (3, 2, 4)),
        ({"concurrency": "100"}, (33, 20, 46)),
        ({"concurrency": "1"}, (1, 1, 1)),
        ({"concurrency": "4", "callback_slots": "4"}, (4, 1, 1)),
    ],
)
def test_default_slots_are_a_third_callbacks_a_fifth_fetches(
    changes: dict[str, str], slots: tuple[int, int, int]
) -> None:
    of_kind = worker_limits(settings(**changes)).kind_slots
    assert (of_kind[TaskKind.CALLBACK], of_kind[TaskKind.FETCH], of_kind[TaskKind.DIGEST]) == slots
