"""Fixtures that several packages' tests share: scripted servers on loopback, recorded arXiv responses, and workers."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.config import SupabaseSettings
from app.digest.analysis import Analyst, ExtractiveAnalyst
from app.digest.rendering import DigestRenderer
from app.digest.scheduled import ScheduledDigests
from app.digest.service import DigestService
from app.mail.sender import MailSender
from app.models.tasks import TaskKind
from app.services import Services
from embedded.postgres.project import prepare
from embedded.stack import Ready
from tests.support.fixture_types import ReadFile, Serve
from tests.support.logs import log_plain_tracebacks
from tests.support.reader_mails import AT_ONCE, LINKS, SENDER
from tests.support.running_worker import RunningWorker, StartMailer, StartWorker
from tests.support.schedule import Clock
from tests.support.scripted_server import ScriptedServer, Step
from tests.support.smtp_server import QUICK, Postbox, sender_to
from worker.handlers.delivery import DeliveryHandler, MailWriter
from worker.handlers.digest import DigestHandler
from worker.job import Handler, Work
from worker.retries import RetryDelay, retry_delay
from worker.runner import WorkerLimits

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def plain_tracebacks(logs_are_restored: None) -> None:  # noqa: ARG001  (it restores the default)
    log_plain_tracebacks()


@pytest.fixture(scope="module")
def own_folder(stack_folder: Path) -> Path:
    """A folder for one file's own stack, unique also if the file runs twice in one process."""
    return stack_folder / uuid4().hex


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server that responds to its n-th request with the n-th step."""
    running: list[ScriptedServer] = []

    async def start(*steps: Step) -> ScriptedServer:
        running.append(ScriptedServer(*steps))
        await running[-1].start()
        return running[-1]

    yield start
    for server in running:
        await server.stop()


@pytest.fixture
def recorded() -> ReadFile:
    """Read a recorded arXiv response, if this machine has it."""
    folder = Path(os.environ.get("BROADSHEET_SHARED", REPOSITORY.parent / "shared")) / "feeds"

    def read(name: str) -> bytes:
        if not (folder / name).is_file():
            pytest.skip(f"arXiv's recorded answers are not at {folder}; BROADSHEET_SHARED names another folder")
        return (folder / name).read_bytes()

    return read


@pytest.fixture
async def empty(stack: Ready) -> AsyncIterator[str]:
    """The URL of a new project's database on the emulator's server."""
    name = f"empty_{uuid4().hex}"
    address = urlsplit(stack.database_url)
    cluster = await asyncpg.connect(stack.database_url)
    await cluster.execute(f"create database {name}")
    new = address._replace(path=f"/{name}").geturl()
    connection = await asyncpg.connect(new)
    await prepare(connection, str(address.password), safe_update=True)
    await connection.close()
    yield new
    await cluster.execute(f"drop database {name} with (force)")
    await cluster.close()


@pytest.fixture
async def start_worker(
    stack: Ready,
    database_reset: None,  # noqa: ARG001  (run first)
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[StartWorker]:
    """Start a worker that does `work` for fetches, or the mapping's work for each kind; stopped after the test."""
    monkeypatch.setattr("app.client.transport.FIRST_BACKOFF", 0.01)
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
                {"supabase_url": url or stack.url, "supabase_key": stack.secret_key}
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
async def clock(database: asyncpg.Connection) -> AsyncIterator[Clock]:
    clock = Clock(database)
    yield clock
    await clock.remove()


@pytest.fixture
async def box() -> AsyncIterator[Postbox]:
    async with Postbox().serve() as box:
        yield box


@pytest.fixture
async def start_mailer(client: AsyncClient, start_worker: StartWorker, box: Postbox) -> AsyncIterator[StartMailer]:
    """Start a worker that writes digests and sends them, by the SMTP server unless another sender is given."""
    services, renderer, excerpts = Services.build(client), DigestRenderer(), ExtractiveAnalyst()
    with ExitStack() as opened:

        async def start(
            sender: MailSender | None = None,
            *,
            kinds: Sequence[TaskKind] = (TaskKind.DIGEST, TaskKind.DELIVERY),
            mail_renderer: DigestRenderer = renderer,
            analyst: Analyst = excerpts,
        ) -> RunningWorker:
            digests = DigestHandler(
                DigestService(services.editions, services.tasks, analyst),
                ScheduledDigests(services.items, services.tasks, analyst),
            )
            way = sender or opened.enter_context(sender_to(box.url(), QUICK))
            mails = DeliveryHandler(services.deliveries, MailWriter(SENDER, LINKS, mail_renderer), way)
            works: dict[TaskKind, Work] = {TaskKind.DIGEST: digests, TaskKind.DELIVERY: mails}
            return await start_worker(
                {kind: works[kind] for kind in kinds},
                kind_slots={kind: 1 for kind in kinds if kind is TaskKind.DELIVERY},
                retry_delay=lambda *_: AT_ONCE,
            )

        yield start
