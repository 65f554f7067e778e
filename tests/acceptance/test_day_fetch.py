"""A worker process with DAILY_FETCH_AT, and digests that are posted while the day is fetched."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
from aiohttp import web
from supabase import AsyncClient

from app.days import yesterday
from app.models.tasks import Task, TaskKind, TaskStatus
from app.persistence.tasks import TaskStateManager
from embedded.sample.server import serve_sample
from embedded.stack import Ready
from tests.support.processes import LONG_LEASE, worker_process
from tests.support.tasks import create

PAYLOAD = {"profile": {"name": "Ada", "interests": ["graph neural networks"]}, "max_papers": 3, "max_news": 3}


class SlowSource:
    """Forwards requests to another server after `go` is set."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.requested, self.go = asyncio.Event(), asyncio.Event()
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["SlowSource"]:
        application = web.Application()
        application.add_routes([web.get("/{path:.*}", self._pass_on)])
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        self.requested.set()
        await self.go.wait()
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{self._target}{request.rel_url}")
        return web.Response(status=answer.status_code, body=answer.content, content_type="application/atom+xml")


async def until(tasks: TaskStateManager, posted: list[Task], reached: Callable[[Task], bool]) -> list[Task]:
    """Poll until every task has the expected status."""
    while True:
        found = [await tasks.get_task(task.task_id) for task in posted]
        if all(map(reached, found)):
            return found
        await asyncio.sleep(0.05)


async def test_digests_that_wait_for_the_daily_fetch_use_no_attempt(stack: Ready, client: AsyncClient) -> None:
    tasks, day = TaskStateManager(client), yesterday()
    async with serve_sample(day) as hosts, SlowSource(hosts.arxiv_base_url).serving() as arxiv:
        feeds = ",".join(f"{feed.name}={feed.url}" for feed in hosts.feeds)
        worker = worker_process(stack, ARXIV_BASE_URL=arxiv.url, FEEDS=feeds, DAILY_FETCH_AT="00:00", **LONG_LEASE)
        await worker.start("worker started")
        await arxiv.requested.wait()
        posted = [await create(client, kind=TaskKind.DIGEST, payload=PAYLOAD, source_date=day) for _ in range(5)]
        theirs = await create(client, source_date=day, delay=day.resolution)
        await tasks.cancel_task(theirs.task_id)
        # A waiting digest shows the reason; a digest with a failed attempt shows only the error.
        seen = await until(tasks, posted, lambda task: task.error is not None)
        assert {task.message for task in seen} <= {f"waiting for the edition of {day}"}
        arxiv.go.set()
        ended = await until(tasks, posted, lambda task: task.status.is_final)
        assert await worker.stop() == 0
    assert {(task.status, task.attempt) for task in ended} == {(TaskStatus.COMPLETED, 1)}
    fetches = await tasks.list_tasks(kind=TaskKind.FETCH, source_date=day)
    assert sorted(task.status for task in fetches.tasks) == [TaskStatus.CANCELLED, TaskStatus.COMPLETED]
