"""The real Worker on the real stack, through the real client: started with a test's handlers, seen by its effects."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from random import Random
from typing import Any, Protocol
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.digest.analysis import ExtractiveAnalyst
from app.digest.rendering import DigestRenderer
from app.digest.scheduled import ScheduledDigests
from app.digest.service import DigestService
from app.mail.sender import MailSender
from app.models import TaskKind
from app.persistence.outcomes import Outcome
from app.persistence.queue import ClaimedTask, TaskQueue
from app.persistence.readers import Reader
from app.services import Services
from embedded.stack import Ready
from tests.contract.schedule import Clock
from tests.contract.test_items import ARXIV, copy, save
from tests.integration.mail.conftest import QUICK, Postbox, sender_to
from tests.integration.worker.mailing import AT_ONCE, LINKS, SENDER, due
from tests.integration.worker.proxy import Proxy
from worker.handlers.delivery import DeliveryHandler, MailWriter
from worker.handlers.digest import DigestHandler
from worker.job import Handler, Job, Work
from worker.retries import RetryDelay, retry_delay
from worker.runner import Worker, WorkerLimits

PATIENCE = 30
"""Seconds until a wait for something that never comes ends its test."""


class RunningWorker:
    """A worker that runs in this event loop, with a client of its own."""

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
        """Tell it to stop, as SIGTERM does; what is returned ends with it, and raises what it raised."""
        assert self._running is not None
        self._stop.set()
        return self._running

    async def stop(self) -> None:
        """SkipDelivery as on SIGTERM, to the end; raises what the worker raised."""
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


class Held:
    """A handler that works until the test lets it end; `deaf` to being cancelled, it ends as if it had not been."""

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


@pytest.fixture
async def start_worker(stack: Ready, database: asyncpg.Connection) -> AsyncIterator[StartWorker]:  # noqa: ARG001  (database_reset)
    """Start a worker that does `work` for fetches, or for each kind what the mapping says; stopped after the test."""
    async with AsyncExitStack() as clients:
        started: list[RunningWorker] = []

        async def start(
            work: Work | Mapping[TaskKind, Work],
            *,
            url: str | None = None,
            concurrency: int = 10,
            lease: float = 30,
            kind_slots: Mapping[TaskKind, int] | None = None,
            time_limit: float = 60,
            grace: float = 0.1,
            retry_delay: RetryDelay = retry_delay,
        ) -> RunningWorker:
            works = work if isinstance(work, Mapping) else {TaskKind.FETCH: work}
            settings = SupabaseSettings.model_validate(
                {"supabase_url": url or stack.url, "supabase_key": stack.secret_key, "supabase_retry_backoff": 0.01}
            )
            limits = WorkerLimits(
                concurrency, timedelta(seconds=lease), timedelta(seconds=grace), kind_slots=kind_slots or {}
            )
            handlers = {kind: Handler(one, timedelta(seconds=time_limit), retry_delay) for kind, one in works.items()}
            started.append(RunningWorker(clients))
            await started[-1].start(settings, handlers, limits)
            return started[-1]

        yield start
        for worker in started:
            await worker.stop()


@pytest.fixture
async def proxy(stack: Ready) -> AsyncIterator[Proxy]:
    """A proxy before the emulator, which lets everything pass until it is told otherwise."""
    proxy = Proxy(stack.url)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def clock(database: asyncpg.Connection) -> AsyncIterator[Clock]:
    clock = Clock(database)
    await clock.install()
    yield clock
    await clock.remove()


@pytest.fixture
async def box() -> AsyncIterator[Postbox]:
    async with Postbox().serve() as box:
        yield box


@pytest.fixture
async def start_mailer(client: AsyncClient, start_worker: StartWorker, box: Postbox) -> AsyncIterator[StartMailer]:
    """Start a worker that writes digests and sends them, by the server unless another way is given."""
    services, renderer, analyst = Services.build(client), DigestRenderer(), ExtractiveAnalyst()
    digests = DigestHandler(
        DigestService(services.editions, services.tasks, analyst, renderer),
        ScheduledDigests(services.items, services.tasks, analyst, renderer),
    )
    with ExitStack() as opened:

        async def start(
            sender: MailSender | None = None,
            *,
            kinds: Sequence[TaskKind] = (TaskKind.DIGEST, TaskKind.DELIVERY),
            mail_renderer: DigestRenderer = renderer,
        ) -> RunningWorker:
            way = sender or opened.enter_context(sender_to(box.url(), QUICK))
            mails = DeliveryHandler(services.deliveries, MailWriter(SENDER, LINKS, mail_renderer), way)
            works: dict[TaskKind, Work] = {TaskKind.DIGEST: digests, TaskKind.DELIVERY: mails}
            return await start_worker(
                {kind: works[kind] for kind in kinds},
                kind_slots={kind: 1 for kind in kinds if kind is TaskKind.DELIVERY},
                retry_delay=lambda *_: AT_ONCE,
            )

        yield start


@pytest.fixture
async def reader(client: AsyncClient, clock: Clock) -> Reader:
    """A reader whom something awaits, and who is due."""
    await save(client, copy(**ARXIV, title="Ice remembers", abstract="Radar reads the memory of glaciers."))
    return await due(client, clock)


async def until_ended(database: asyncpg.Connection, task_id: UUID) -> dict[str, Any]:
    """Wait until a task has a final status, looking as a poller would; returns its row."""
    async with asyncio.timeout(PATIENCE):
        while True:
            row = dict(await database.fetchrow("select * from public.tasks where task_id = $1", task_id))
            if row["status"] is not None:
                return row
            await asyncio.sleep(0.02)


async def until(database: asyncpg.Connection, condition: str, *arguments: object) -> None:
    """Wait until `condition`, a query, is true, looking as a poller would."""
    async with asyncio.timeout(PATIENCE):
        while not await database.fetchval(condition, *arguments):
            await asyncio.sleep(0.02)


async def until_calls(worker: RunningWorker, turns: int) -> None:
    """Wait until the worker's claim loop has turned so often."""
    async with asyncio.timeout(PATIENCE):
        while worker.calls < turns:
            await asyncio.sleep(0.01)


async def until_status(database: asyncpg.Connection, status: str, count: int) -> None:
    """Wait until `count` tasks have this status."""
    async with asyncio.timeout(PATIENCE):
        while await database.fetchval("select count(*) from public.task_records where status = $1", status) != count:
            await asyncio.sleep(0.02)
