"""A fetch on the real stack: a broken source affects only itself, a busy source is awaited, Supabase is named."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.client.call import Call, Response
from app.client.factory import open_supabase
from app.client.transport import ErrorMappingTransport
from app.days import utc_today
from app.errors import LeaseLost, SourceBusy, SourceError, SupabaseUnavailable
from app.external.client import ExternalClient, open_external
from app.fetch_service import FetchPostponed, FetchService
from app.models.articles import EditionStatus
from app.models.tasks import TaskKind
from app.persistence.circuit_breaker import CircuitBreakers
from app.persistence.editions import Editions
from app.persistence.operator import Operator
from app.persistence.queue import TaskQueue
from app.persistence.tasks import TaskStateManager
from app.sources.feeds import FeedSettings, FeedSource
from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.source import Source
from embedded.stack import Ready
from tests.contract.scripted_sources import GOOD, Scripted, quiet
from tests.support.scripted_server import ScriptedServer, Step
from tests.support.source_responses import redirect, reply
from tests.support.stack_process import settings_for
from tests.support.tasks import DAY, READ_TIMEOUT, create, record
from worker.handlers.callback import CallbackHandler
from worker.handlers.digest import DigestHandler
from worker.handlers.fetch import FetchHandler
from worker.handlers.library_import import ImportHandler
from worker.runner import Worker, WorkerLimits
from worker.wiring import build_handlers

MOMENT = datetime(2026, 3, 5, 7, 12, tzinfo=UTC)
TASK = UUID(int=1)
BUSY = {"arxiv": "429 at 07:12 UTC"}
FEED = b"<rss><channel><item><title>An item</title></item></channel></rss>"
LABEL = "x" * 64
SourceAt = Callable[[Step], Awaitable[Source]]


def service(client: AsyncClient, *sources: Source) -> FetchService:
    return FetchService(Editions(client), CircuitBreakers(client), sources, now=lambda: MOMENT)


@pytest.fixture
async def outside() -> AsyncIterator[ExternalClient]:
    async with open_external() as client:
        yield client


@pytest.fixture
async def odd_source(outside: ExternalClient) -> AsyncIterator[SourceAt]:
    """The real feed adapter, and a server with these responses."""
    servers: list[ScriptedServer] = []

    async def start(step: Step) -> Source:
        servers.append(ScriptedServer(step))
        await servers[-1].start()
        return FeedSource(
            HttpFetcher(outside, FetchSettings("Broadsheet tests")), FeedSettings("odd", f"{servers[-1].url}/rss")
        )

    yield start
    for server in servers:
        await server.stop()


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (redirect(f"https://{LABEL}.example/"), LABEL[:40]),
        (redirect("https://\u00e4\u0308\u0308.example:0x/"), "127.0.0.1"),
        (redirect("http://xn--\x7f/"), "127.0.0.1"),
        (redirect("https://" + "x." * 300 + "/"), "resolved"),
        (redirect("//[::ffff:127.0.0.1]/"), "not a public address"),
        (redirect("https://user:pa%00ss@10.0.0.1/"), "not a public address"),
        (reply(b"\xff\xfe<\x00r", kind="text/xml"), "not a feed"),
        (reply(b"<?xml version='1.0' encoding='idna'?>" + FEED), "the encoding 'idna', which is not read"),
        (reply(b"<?xml version='1.0' encoding='UTF-7'?>+ADw-rss/+AD4-"), "the encoding 'UTF-7', which is not read"),
    ],
)
async def test_a_faulty_source_affects_only_itself(
    client: AsyncClient, odd_source: SourceAt, step: Step, message: str
) -> None:
    edition = await service(client, Scripted("good", [GOOD]), await odd_source(step)).fetch(
        DAY, TASK, quiet, timedelta(0)
    )
    assert (edition.status, edition.counts) == (EditionStatus.PARTIAL, {"good": 1})
    assert list(edition.errors) == ["feed:odd"]
    assert message in edition.errors["feed:odd"]
    odd, good = (await Operator(client).overview()).sources
    assert (odd.name, odd.error, odd.succeeded_at) == ("feed:odd", edition.errors["feed:odd"], None)
    assert (good.name, good.items, good.failed_at) == ("good", 1, None)


@pytest.mark.parametrize(
    "charset", ["idna", "undefined", "punycode", "rot13", "hex", "utf-7", "x" * 300, "\u00e4", '"']
)
async def test_an_unknown_charset_is_ignored(client: AsyncClient, odd_source: SourceAt, charset: str) -> None:
    source = await odd_source(reply(FEED, kind=f"text/xml; charset={charset}"))
    edition = await service(client, source).fetch(DAY, TASK, quiet, timedelta(0))
    assert (edition.status, edition.errors) == (EditionStatus.COMPLETED, {})


@pytest.mark.parametrize(
    "error",
    [
        UnicodeError("label too long"), LookupError("unknown encoding"), RecursionError("too deep"), MemoryError(),
        ExceptionGroup("several", [ValueError("one"), KeyError("two")]), ValueError("x\x00\ud800" * 1_000_000),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
async def test_any_exception_of_a_source_is_recorded_as_its_error(client: AsyncClient, error: BaseException) -> None:
    sources = Scripted("good", [GOOD]), Scripted("odd", error)
    edition = await service(client, *sources).fetch(DAY, TASK, quiet, timedelta(0))
    assert (edition.status, edition.counts) == (EditionStatus.PARTIAL, {"good": 1})
    assert edition.errors["odd"].startswith(type(error).__name__)
    assert len(edition.errors["odd"]) <= 500 + len(" at 07:12 UTC")


async def test_one_source_error_is_raised_when_all_sources_fail(client: AsyncClient) -> None:
    sources = Scripted("one", SourceError("down")), Scripted("two", UnicodeError("label too long"))
    with pytest.raises(
        SourceError,
        match=r"no source could be read: one: down at 07:12 UTC; two: UnicodeError: label too long at 07:12 UTC",
    ):
        await service(client, *sources).fetch(DAY, TASK, quiet, timedelta(0))


class Breaking(ErrorMappingTransport):
    """Fails when it saves articles."""

    def __init__(self) -> None:
        super().__init__(5, read_timeout=READ_TIMEOUT)

    async def send(self, call: Call) -> Response:
        if call.url.path.endswith("/save_articles"):
            raise httpx.ConnectError("gone")
        return await super().send(call)


async def test_a_supabase_failure_is_raised_as_such(
    stack: Ready,
    database_reset: None,  # noqa: ARG001  (run first)
) -> None:
    async with open_supabase(settings_for(stack), transport=Breaking()) as client:
        with pytest.raises(SupabaseUnavailable, match="save 1 articles"):
            await service(client, Scripted("one", [GOOD]), Scripted("two", [GOOD])).fetch(
                DAY, TASK, quiet, timedelta(0)
            )


async def test_a_lost_lease_is_raised_as_such(client: AsyncClient) -> None:
    async def report(_message: str, progress: float) -> None:
        if progress > 0.1:
            raise LeaseLost("another's")

    with pytest.raises(LeaseLost):
        await service(client, Scripted("one", [GOOD])).fetch(DAY, TASK, report, timedelta(0))


async def test_a_fetch_waits_for_a_busy_source_up_to_its_time_limit(client: AsyncClient) -> None:
    fetches = service(client, Scripted("good", [GOOD]), Scripted("arxiv", SourceBusy("429", retry_after=600.0)))
    with pytest.raises(FetchPostponed) as postponed:
        await fetches.fetch(DAY, TASK, quiet, timedelta(minutes=10))
    assert postponed.value.delay == timedelta(minutes=10)
    assert (await Editions(client).get_edition(DAY)).status is EditionStatus.FETCHING
    edition = await fetches.fetch(DAY, TASK, quiet, timedelta(minutes=9))
    assert (edition.status, edition.errors) == (EditionStatus.PARTIAL, {"arxiv": "429 at 07:12 UTC"})
    assert await CircuitBreakers(client).states() == [], "a busy source is not a failure"


async def test_a_fetch_snoozes_for_a_busy_source_then_omits_it(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    fetches = service(client, Scripted("good", [GOOD]), Scripted("arxiv", SourceBusy("429", retry_after=600.0)))
    handler = FetchHandler(fetches, TaskStateManager(client))
    handlers = build_handlers(handler, cast(DigestHandler, None), CallbackHandler(None), cast(ImportHandler, None))
    queue = TaskQueue(client, worker_id=uuid4(), kinds=[TaskKind.FETCH], lease=timedelta(seconds=60))
    limits = WorkerLimits(5, lease=timedelta(seconds=60), grace=timedelta(0))
    worker = Worker(queue, handlers, limits, random=Random(3), on_outcome=lambda *_: None)
    task = await create(client)

    async def worked() -> dict[str, Any]:
        await worker.run_once()
        while (found := await record(database, task.task_id))["status"] == "running" or not found["started_at"]:
            await asyncio.sleep(0.01)
            await worker.run_once()
        return found

    found = await worked()
    assert (found["status"], found["attempt"]) == ("pending", 0)
    assert found["run_at"] - found["updated_at"] == timedelta(minutes=10)
    assert "429" in found["message"]
    await database.execute("update public.queue set run_at = now(), started_at = now() - interval '55 minutes'")
    found = await worked()
    assert (found["status"], found["attempt"]) == ("completed", 1)
    edition = await Editions(client).get_edition(DAY)
    assert (edition.status, edition.counts, edition.errors) == (EditionStatus.PARTIAL, {"good": 1}, BUSY)


async def test_a_feed_that_was_cut_off_makes_the_edition_partial(client: AsyncClient, odd_source: SourceAt) -> None:
    body = b"<rss><channel><item><title>What came before the cut</title></item><item><title>Half"
    edition = await service(client, await odd_source(reply(body)), Scripted("good", [GOOD])).fetch(
        utc_today(), TASK, quiet, timedelta(0)
    )
    assert edition.status is EditionStatus.PARTIAL
    assert "cut short" in edition.errors["feed:odd"]
    articles = await Editions(client).get_articles(utc_today())
    assert "What came before the cut" in [article.title for article in articles]
