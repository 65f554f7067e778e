"""No Python thread starts in an API process on any route, nor in a worker on any kind of task."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import httpx
from supabase import AsyncClient

from app.days import utc_today, yesterday
from app.models.tasks import TaskKind
from app.services import Services
from embedded.sample.server import serve_sample
from embedded.stack import Ready
from tests.support.analysis import completion
from tests.support.callback_receiver import Receiver
from tests.support.every_route import MEGABYTE, SETTINGS, requests, system_of
from tests.support.imports import uploaded
from tests.support.operators import KEYS
from tests.support.processes import LONG_LEASE, ServiceProcess, api_process, start_api, worker_process
from tests.support.reader_mails import read_day
from tests.support.running_worker import until
from tests.support.schedule import add_reader
from tests.support.scripted_server import ScriptedServer
from tests.support.smtp_server import Postbox
from tests.support.tasks import create

ALL_KINDS = "select count(distinct kind) = 5 from public.tasks where status = 'completed'"
PIECE = 800_000
MAIL = {"MAIL_FROM": "digest@example.org", "PUBLIC_URL": "https://digest.example", "LINK_SECRET": "s" * 32}
LIBRARY = "\n".join(f"@misc{{k{n}, title={{Of ice {n}}}, abstract={{{'ice ' * 12_000}}}}}" for n in range(30)).encode()
ANALYSIS = {"summary": "Radar reads the memory of ice.", "key_points": ["Two changes.", "No drilling."]}


async def test_an_api_starts_no_thread_on_any_route(stack: Ready, database: asyncpg.Connection) -> None:
    settings = {name.upper(): value for name, value in SETTINGS.items()}
    api = api_process(stack, API_KEYS=KEYS, ADMINS="root,eve", METRICS_PORT="0", **settings)
    async with httpx.AsyncClient(base_url=await start_api(api), trust_env=False, timeout=60) as http:
        system = await system_of(http, database)
        every = requests(system)
        for request in every:
            await system.send(request)
    await private_pages(api, "/metrics")
    assert any(len(request.sent.get("content", "")) > MEGABYTE for request in every)
    assert await api.stop() == 0
    assert api.threads_started == []
    assert api.sdk_modules == 0


async def private_pages(process: ServiceProcess, *paths: str) -> None:
    """Read what a process serves on its private port."""
    address = str((await process.logged("health and metrics on"))["event"]).split()[-1]
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as http:
        for path in paths:
            assert (await http.get(path)).is_success


@asynccontextmanager
async def worker_with_all(stack: Ready, box: Postbox, model: ScriptedServer) -> AsyncIterator[ServiceProcess]:
    """A worker that has sources, a model, and a mail server."""
    async with serve_sample(yesterday()) as hosts:
        worker = worker_process(
            stack,
            **LONG_LEASE,
            **MAIL,
            ARXIV_BASE_URL=hosts.arxiv_base_url,
            FEEDS=",".join(f"{feed.name}={feed.url}" for feed in hosts.feeds),
            OPENAI_API_KEY="k-1",
            OPENAI_BASE_URL=f"{model.url}/v1",
            MAIL_URL=f"smtp://127.0.0.1:{box.port}",
            WORKER_PORT="0",
        )
        await worker.start("worker started")
        yield worker
        assert await worker.stop() == 0


async def test_a_worker_starts_no_thread_on_any_kind_of_task(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, receiver: Receiver
) -> None:
    model = ScriptedServer(completion(ANALYSIS))
    await model.start()
    interests = {"interests": ["graph neural networks"]}
    payload = {"profile": {"name": "Ada", **interests}}
    async with Postbox().serve() as box, worker_with_all(stack, box, model) as worker:
        hook = receiver.url
        await create(client, kind=TaskKind.DIGEST, source_date=yesterday(), payload=payload, callback_url=hook)
        await until(database, "select exists (select from public.tasks where kind = 'callback' and status is not null)")
        for days in (1, 2):  # the reader's day may have begun before UTC's
            await read_day(client, utc_today() - timedelta(days=days))
        reader = await add_reader(client, email="ada@example.org", profile=interests)
        await uploaded(client, reader.reader_id, LIBRARY[:PIECE], LIBRARY[PIECE:])
        await database.execute(
            "update public.readers set next_due_at = "
            "public.next_occurrence(timezone, send_at, weekdays, now() - interval '1 day')"
        )
        await Services.build(client).schedule.enqueue_due()
        await until(database, ALL_KINDS)
        await private_pages(worker, "/healthz", "/metrics")
    await model.stop()
    assert (len(box.taken), receiver.delivered.total()) == (1, 1)
    assert model.bodies
    assert len(LIBRARY) > MEGABYTE
    assert worker.threads_started == []
    assert worker.sdk_modules == 0
