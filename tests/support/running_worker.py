"""A worker in this event loop, and waits for its effects."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from random import Random
from typing import Any, Protocol
from uuid import UUID, uuid4

import asyncpg

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.models.tasks import TaskKind
from app.persistence.outcomes import Outcome
from app.persistence.queue import ClaimedTask, TaskQueue
from worker.job import Handler, Job, Work
from worker.retries import RetryDelay, retry_delay
from worker.runner import Worker, WorkerLimits

PATIENCE = 30
"""Seconds after which a wait fails its test."""


class RunningWorker:
    """A worker in this event loop with its own client."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self.worker: Worker | None = None
        self.outcomes: list[tuple[ClaimedTask, Outcome]] = []

    async def start(
        self, settings: SupabaseSettings, handlers: Mapping[TaskKind, Handler], limits: WorkerLimits
    ) -> None:
        client = await self._stack.enter_async_context(open_supabase(settings))
        self.worker = Worker(
            TaskQueue(client, worker_id=uuid4(), kinds=list(handlers), lease=limits.lease),
            handlers,
            limits,
            random=Random(5),
            on_outcome=lambda task, outcome, _seconds: self.outcomes.append((task, outcome)),
        )
        self._running = asyncio.create_task(self.worker.run(self._stop))

    def begin_to_stop(self) -> "asyncio.Task[None]":
        """Tell it to stop, as SIGTERM does; the returned task ends with it and raises its error."""
        assert self._running is not None
        self._stop.set()
        return self._running

    async def stop(self) -> None:
        """Stop it as SIGTERM does and wait for its end; raises the worker's error."""
        await self.begin_to_stop()

    @property
    def running_tasks(self) -> int:
        assert self.worker is not None
        return self.worker.running_tasks

    @property
    def calls(self) -> int:
        assert self.worker is not None
        return self.worker.calls


class StartWorker(Protocol):
    async def __call__(
        self,
        work: Work | Mapping[TaskKind, Work],
        *,
        url: str | None = None,
        concurrency: int = 10,
        lease: float = 30,
        kind_slots: Mapping[TaskKind, int] | None = None,
        time_limit: float = 60,
        grace: float = 0.1,
        retry_delay: RetryDelay = retry_delay,
    ) -> RunningWorker: ...


StartMailer = Callable[..., Awaitable[RunningWorker]]


class BlockedHandler:
    """A handler that runs until the test lets it end; if `deaf`, it ignores its cancellation."""

    def __init__(self, *, deaf: bool = False) -> None:
        self._deaf = deaf
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, job: Job) -> dict[str, Any]:
        self.begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            if not self._deaf:
                raise
        return {"attempt": job.task.attempt}


async def until_ended(database: asyncpg.Connection, task_id: UUID) -> dict[str, Any]:
    """Wait until a task has a final status; returns its row."""
    async with asyncio.timeout(PATIENCE):
        while True:
            row = dict(await database.fetchrow("select * from public.tasks where task_id = $1", task_id))
            if row["status"] is not None:
                return row
            await asyncio.sleep(0.02)


async def until(database: asyncpg.Connection, condition: str, *arguments: object) -> None:
    """Wait until the query `condition` returns true."""
    async with asyncio.timeout(PATIENCE):
        while not await database.fetchval(condition, *arguments):
            await asyncio.sleep(0.02)


async def until_calls(worker: RunningWorker, calls: int) -> None:
    """Wait until the worker's claim loop has made this many calls."""
    async with asyncio.timeout(PATIENCE):
        while worker.calls < calls:
            await asyncio.sleep(0.01)


async def until_status(database: asyncpg.Connection, status: str, count: int) -> None:
    """Wait until `count` tasks have this status."""
    async with asyncio.timeout(PATIENCE):
        while await database.fetchval("select count(*) from public.task_records where status = $1", status) != count:
            await asyncio.sleep(0.02)
