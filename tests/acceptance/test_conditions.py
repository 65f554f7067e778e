"""Each condition of the health line, provoked on running processes, seen by operators in four ways, and ended."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr
from supabase import AsyncClient

from app.conditions.catalog import CONDITIONS
from app.days import yesterday
from app.models.tasks import TaskKind
from app.persistence.health import Health
from app.persistence.reader_libraries import ReaderLibraries
from app.persistence.schedule import Schedule
from embedded.sample.server import serve_sample
from embedded.stack import Ready
from tests.support.alert_rules import assert_promtool_agrees, firing
from tests.support.callback_receiver import enqueue_deliveries
from tests.support.digest_rows import digests_of_today
from tests.support.fake_zotero import KEY as ZOTERO_KEY
from tests.support.fake_zotero import USER, FakeZotero
from tests.support.items import ARXIV, copy, save
from tests.support.model_servers import model_server
from tests.support.processes import LONG_LEASE
from tests.support.proxy import LOST, Answer, Call, no_interference
from tests.support.reader_mails import read_day
from tests.support.schedule import add_reader
from tests.support.scripted_server import ScriptedServer, answer
from tests.support.smtp_server import break_off, say
from tests.support.tasks import create
from tests.support.watched_service import KEY, Service, running_service

Provocation = Callable[[Service], AbstractAsyncContextManager[None]]
"""The condition holds after it begins, and no longer after it ends."""

PROVOCATIONS: dict[str, Provocation] = {}
OVERDUE = """
insert into public.readers (owner, external_id, name, timezone, send_at) values ('ada', 'late', 'Late', 'UTC', '07:00');
alter table public.readers disable trigger user;
update public.readers set next_due_at = now() - interval '11 minutes';
alter table public.readers enable trigger user"""
HOUR_LATER = "update public.task_stats set minute = minute - interval '2 hours'"


def provokes(provocation: Callable[[Service], AsyncIterator[None]]) -> Provocation:
    """Register a function that is named after its condition."""
    PROVOCATIONS[provocation.__name__] = made = asynccontextmanager(provocation)
    return made


@provokes
async def database_unreachable(service: Service) -> AsyncIterator[None]:
    async def lose(_call: Call) -> Answer:
        return LOST

    service.proxy.before = lose
    yield
    service.proxy.before = no_interference


@provokes
async def schema_behind(service: Service) -> AsyncIterator[None]:
    async with replaced(service.database, "schema_version", r"select \d+", "select 1"):
        yield


@provokes
async def clock_differs(service: Service) -> AsyncIterator[None]:
    async with replaced(service.database, "operator_health", r"'at', now\(\)", "'at', now() - interval '1 minute'"):
        yield


@provokes
async def no_worker(service: Service) -> AsyncIterator[None]:
    worker = await service.start_worker()
    await service.seen("no_worker", holds=False)
    assert await worker.stop(signal.SIGKILL) != 0
    yield
    await service.start_worker()


@provokes
async def worker_lost(service: Service) -> AsyncIterator[None]:
    service.receiver.gate = asyncio.Semaphore(0)
    lost = await service.start_worker()
    await enqueue_deliveries(service.database, service.receiver.url, 1)
    await service.receiver.more()
    other = await service.start_worker()
    assert await lost.stop(signal.SIGKILL) != 0
    yield
    # A worker that shows up no more is lost, before its tasks are reclaimed.
    await service.until("select exists (select from public.workers where lost_at is not null)")
    await service.database.execute(
        "update public.workers set lost_at = lost_at - interval '16 minutes' where lost_at is not null"
    )
    service.receiver.gate.release()
    await service.seen("worker_lost", holds=False)
    assert await other.stop() == 0


@provokes
async def all_sources_failing(service: Service) -> AsyncIterator[None]:
    await create(service.client, source_date=yesterday())
    # A server that has moved: a worker repeats requests to one that refuses connections, for 20 seconds.
    moved = ScriptedServer(answer(404, "no such page"))
    await moved.start()
    async with service.worker(ARXIV_BASE_URL=moved.url, FEEDS=f"none={moved.url}/rss"):
        yield
    await moved.stop()
    await create(service.client, source_date=yesterday())
    async with serve_sample(yesterday()) as hosts:
        (feed, *_) = hosts.feeds
        sources = {"ARXIV_BASE_URL": hosts.arxiv_base_url, "FEEDS": f"{feed.name}={feed.url}"}
        async with service.worker(**sources):
            await service.seen("all_sources_failing", holds=False)


@provokes
async def source_failing(service: Service) -> AsyncIterator[None]:
    await create(service.client, source_date=yesterday())
    async with serve_sample(yesterday()) as hosts:
        async with service.worker(ARXIV_BASE_URL=hosts.arxiv_base_url):
            yield
        (feed, *_) = hosts.feeds
        async with service.worker(ARXIV_BASE_URL=hosts.arxiv_base_url, FEEDS=f"{feed.name}={feed.url}"):
            await service.seen("source_failing", holds=False)


@provokes
async def mail_failing(service: Service) -> AsyncIterator[None]:
    service.postbox.steps["MAIL"] = say("550 no")
    await service.mail("refused", "failed")
    yield
    service.postbox.steps.clear()
    await service.mail("accepted", "sent")


@provokes
async def deliveries_in_doubt(service: Service) -> AsyncIterator[None]:
    service.postbox.steps["DATA"] = break_off
    await service.mail("unclear", "in_doubt")
    yield
    delivery = await service.database.fetchval("select delivery_id from public.deliveries where status = 'in_doubt'")
    await service.operator.press("/ops/deliveries", f"/ops/deliveries/{delivery}/sent")


@provokes
async def mail_not_configured(service: Service) -> AsyncIterator[None]:
    async with service.worker(MAIL_URL=""):
        yield
        await service.start_worker()


@provokes
async def fetch_not_scheduled(service: Service) -> AsyncIterator[None]:
    async with service.worker(DAILY_FETCH_AT="off"):
        yield
        await service.start_worker()


@provokes
async def readers_overdue(service: Service) -> AsyncIterator[None]:
    await service.database.execute(OVERDUE)
    yield
    await Schedule(service.client).enqueue_due()


@provokes
async def delivery_rate_low(service: Service) -> AsyncIterator[None]:
    await digests_of_today(service.database, "failed", 10)
    await rate_again(service)
    yield
    await service.database.execute("delete from public.readers where true")
    await service.database.execute("delete from public.tasks where true")
    await rate_again(service)


@provokes
async def queue_delayed(service: Service) -> AsyncIterator[None]:
    service.receiver.gate = asyncio.Semaphore(0)
    async with service.worker(CALLBACK_SLOTS="1", **LONG_LEASE):
        await enqueue_deliveries(service.database, service.receiver.url, 2)
        await service.database.execute("update public.queue set run_at = run_at - interval '3 minutes'")
        yield
        for _ in range(2):
            service.receiver.gate.release()
        await service.until("select count(*) = 0 from public.queue")


@provokes
async def model_failing(service: Service) -> AsyncIterator[None]:
    async with digest_without_model(service):
        yield


@provokes
async def model_fallback(service: Service) -> AsyncIterator[None]:
    async with digest_without_model(service):
        yield


@provokes
async def deliveries_paused(service: Service) -> AsyncIterator[None]:
    await service.operator.http.post("/v1/deliveries/pause", json={"reason": "a look first"}, headers=KEY)
    yield
    await service.operator.press("/ops/deliveries", "/ops/deliveries/resume", pending="send")


@provokes
async def kind_paused(service: Service) -> AsyncIterator[None]:
    await service.operator.press("/ops", "/ops/kinds/fetch/pause", reason="arXiv is moving")
    yield
    await service.operator.press("/ops", "/ops/kinds/fetch/resume")


@asynccontextmanager
async def replaced(database: asyncpg.Connection, function: str, old: str, new: str) -> AsyncIterator[None]:
    """Change the text of a function of the database while the block runs."""
    text = await database.fetchval(f"select pg_get_functiondef('public.{function}'::regproc)")
    changed, count = re.subn(old, new, text)
    assert count == 1
    await database.execute(changed)
    try:
        yield
    finally:
        await database.execute(text)


@provokes
async def erasures_unfinished(service: Service) -> AsyncIterator[None]:
    await add_reader(service.client)
    await service.database.execute(
        "update public.readers_private set erase_requested_at = now() - interval '61 minutes'"
    )
    yield
    async with service.worker(**LONG_LEASE):
        await service.until("select not exists (select from public.readers)")


@provokes
async def library_keys_refused(service: Service) -> AsyncIterator[None]:
    reader = (await add_reader(service.client)).reader_id
    async with FakeZotero().serve() as zotero:
        await ReaderLibraries(service.client).connect(reader, USER, [], SecretStr(ZOTERO_KEY))
        access = zotero.keys.pop(ZOTERO_KEY)
        async with service.worker(ZOTERO_BASE_URL=zotero.url, **LONG_LEASE):
            yield
        zotero.keys[ZOTERO_KEY] = access
        await service.database.execute("update public.reader_libraries set next_sync_at = now()")
        async with service.worker(ZOTERO_BASE_URL=zotero.url, **LONG_LEASE):
            await service.seen("library_keys_refused", holds=False)


@asynccontextmanager
async def digest_without_model(service: Service) -> AsyncIterator[None]:
    """A digest whose model fails; afterwards time passes."""
    day = yesterday()
    await save(service.client, copy(**ARXIV, title="Graph neural networks"), day=day)
    await read_day(service.client, day)
    payload = {"profile": {"name": "Ada", "interests": ["graph neural networks"]}, "max_papers": 3, "max_news": 3}
    await create(service.client, kind=TaskKind.DIGEST, source_date=day, payload=payload)
    async with model_server(lambda _request: answer(500, {"error": {"message": "out of memory"}})) as model:
        async with service.worker(OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=model.url, **LONG_LEASE):
            await service.until("select count(*) from public.tasks where status = 'completed'")
        yield
    await service.database.execute(HOUR_LATER)
    await service.database.execute("delete from public.circuit_breakers where name = 'model'")


async def rate_again(service: Service) -> None:
    """Compute the delivery rate now, as each process does once a minute."""
    await service.database.execute("delete from public.delivery_rate where one")
    await Health(service.client).refresh_delivery_rate()


@pytest.fixture
async def service(stack: Ready, client: AsyncClient, database: asyncpg.Connection) -> AsyncIterator[Service]:
    async with running_service(stack, client, database) as running:
        yield running


def test_each_condition_is_provoked() -> None:
    assert PROVOCATIONS.keys() == {condition.name for condition in CONDITIONS}


@pytest.mark.parametrize("name", PROVOCATIONS)
async def test_a_provoked_condition_is_seen_everywhere_and_ends(name: str, service: Service, tmp_path: Path) -> None:
    async with PROVOCATIONS[name](service):
        metrics = await service.seen(name, holds=True)
        await assert_promtool_agrees(metrics, firing(metrics), tmp_path)
    metrics = await service.seen(name, holds=False)
    await assert_promtool_agrees(metrics, firing(metrics), tmp_path)
