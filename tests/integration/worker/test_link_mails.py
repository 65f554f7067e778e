"""The mails with links to a reader's own data, and a deletion while mails are queued or being sent."""

import asyncio
import re
from collections.abc import Sequence
from random import Random
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiosmtpd.smtp import SMTP
from supabase import AsyncClient

from app.digest.analysis import Analysed, Analysis, ExtractiveAnalyst
from app.digest.rendering import DigestRenderer
from app.models.articles import Article
from app.models.profiles import Profile
from app.models.tasks import TaskKind
from app.persistence.own_data import LinkKind, OwnData
from app.persistence.readers import Reader
from app.ranking.ranking import Ranked
from app.services import Services
from embedded.stack import Ready
from tests.integration.worker.whole_worker import settings_of, whole_worker
from tests.support.importer import import_handler
from tests.support.imports import bibtex, uploaded
from tests.support.mailer import IN_DOUBT, Mailer
from tests.support.own_data import begin_erasure
from tests.support.reader_mails import ALL_DONE, ENDED, LINKS, SENDER, body, mails, once
from tests.support.running_worker import PATIENCE, RunningWorker, StartMailer, StartWorker, until
from tests.support.schedule import add_reader
from tests.support.smtp_server import QUICK, Postbox, sender_to
from worker.handlers.delivery import DeliveryHandler, MailWriter
from worker.periodic.erasures import Erasures

READERS = "select count(*) = 0 from public.readers"


@pytest.fixture
async def ada(client: AsyncClient, database_reset: None) -> Reader:  # noqa: ARG001  (run first)
    return await add_reader(client, email="ada@example.org", timezone=None, send_at=None)


async def request(client: AsyncClient, reader: Reader, kind: LinkKind) -> UUID:
    link_id = uuid4()
    assert await OwnData(client).request_link(link_id, reader.reader_id, kind) == "requested"
    return link_id


@pytest.mark.parametrize("kind", ["download_link", "delete_link"])
async def test_a_requested_link_is_the_only_link_of_its_mail(
    kind: LinkKind,
    client: AsyncClient,
    database: asyncpg.Connection,
    ada: Reader,
    box: Postbox,
    start_mailer: StartMailer,
) -> None:
    link_id, purpose = await request(client, ada, kind), kind.partition("_")[0]
    await start_mailer()
    await until(database, ENDED, "sent")
    (mail,) = mails(box)
    assert mail["Subject"] == f"{purpose.title()} your data from Broadsheet"
    for part in ("plain", "html"):
        (url,) = re.findall(r"https?://[^\s\"<]+", body(mail, part))
        name, token = url.removeprefix("https://digest.example/r/").split("/")
        assert name == f"{purpose}:{link_id}"
        assert LINKS.read(name, token).reader_id == ada.reader_id
    assert "valid for 15 minutes from your request at" in body(mail, "plain")


async def test_two_links_of_a_day_are_two_different_mails(
    client: AsyncClient, database: asyncpg.Connection, ada: Reader, box: Postbox, start_mailer: StartMailer
) -> None:
    for _ in range(2):
        await request(client, ada, "delete_link")
    await start_mailer()
    await until(database, "select count(*) = 2 from public.deliveries where status = 'sent'")
    assert len({str(mail["Message-ID"]) for mail in mails(box)}) == 2


async def test_a_deletion_with_mails_in_the_queue_sends_nothing(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader, box: Postbox,
    start_mailer: StartMailer,
) -> None:  # fmt: skip
    await begin_erasure(client, reader)
    worker = await start_mailer()
    await until(database, ALL_DONE)
    assert await OwnData(client).erase(reader.reader_id) == "more"
    assert await OwnData(client).erase(reader.reader_id) == "erased"
    await worker.stop()
    assert box.taken == []
    assert await database.fetchval(READERS)


async def test_a_deletion_during_a_mail_waits_and_the_worker_goes_on(
    client: AsyncClient, database: asyncpg.Connection, ada: Reader, box: Postbox, start_mailer: StartMailer
) -> None:
    reached, may_end = asyncio.Event(), asyncio.Event()

    async def slowly(_box: Postbox, _server: SMTP) -> str:
        reached.set()
        await may_end.wait()
        return ""

    box.steps["DATA"] = once(slowly)
    await request(client, ada, "download_link")
    await start_mailer()
    await reached.wait()
    await begin_erasure(client, ada)
    erasures = Erasures(OwnData(client), random=Random(1))
    await erasures.run_once()
    assert not await database.fetchval(READERS)
    may_end.set()
    await until(database, "select not exists (select from public.deliveries where status = 'sending')")
    await erasures.run_once()
    assert await database.fetchval(READERS)
    # The worker still sends: to a reader who came later.
    bo = await add_reader(client, email="bo@example.org", timezone=None, send_at=None)
    await request(client, bo, "download_link")
    await until(database, ENDED, "sent")
    assert [str(mail["To"]) for mail in mails(box)] == ["Ada <ada@example.org>", "Ada <bo@example.org>"]


class SlowAnalyst:
    """An analyst that waits, once, until the test lets it go on."""

    def __init__(self) -> None:
        self.reached, self.may_end = asyncio.Event(), asyncio.Event()
        self._excerpts = ExtractiveAnalyst()

    def begin(self, profile: Profile) -> "SlowAnalysis":
        return SlowAnalysis(self, self._excerpts.begin(profile))


class SlowAnalysis:
    def __init__(self, analyst: SlowAnalyst, excerpts: Analysis) -> None:
        self._analyst = analyst
        self._excerpts = excerpts

    async def reorder(self, articles: Sequence[Article]) -> Sequence[int]:
        return await self._excerpts.reorder(articles)

    async def analyse(self, items: Sequence[Ranked]) -> Analysed:
        self._analyst.reached.set()
        await self._analyst.may_end.wait()
        return await self._excerpts.analyse(items)


async def test_a_deletion_while_a_worker_writes_the_digest(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader, box: Postbox, start_mailer: StartMailer
) -> None:
    analyst = SlowAnalyst()
    running = await start_mailer(analyst=analyst)
    await analyst.reached.wait()
    await begin_erasure(client, reader)
    await Erasures(OwnData(client), random=Random(1)).run_once()
    assert await database.fetchval(READERS)
    analyst.may_end.set()
    await stop_when_idle(running)
    assert await database.fetchval("select count(*) from public.digests") == 0
    assert await database.fetchval("select count(*) from public.deliveries") == 0
    assert box.taken == []


async def test_a_deletion_while_a_worker_imports_a_library(
    client: AsyncClient, database: asyncpg.Connection, ada: Reader, start_worker: StartWorker
) -> None:
    await uploaded(client, ada.reader_id, bibtex(3000).encode(), media_type="application/x-bibtex")
    running = await start_worker({TaskKind.IMPORT: import_handler(client)})
    await until(database, "select exists (select from public.reader_papers)")
    await begin_erasure(client, ada)
    await Erasures(OwnData(client), random=Random(1)).run_once()
    await stop_when_idle(running)
    for table in ("readers", "reader_papers", "reader_paper_keys", "uploads", "tasks", "queue"):
        assert await database.fetchval(f"select count(*) from public.{table}") == 0, table


async def stop_when_idle(running: RunningWorker) -> None:
    """Wait until the worker has no task, and stop it; raises the worker's error."""
    async with asyncio.timeout(PATIENCE):
        while running.running_tasks:
            await asyncio.sleep(0.01)
    await running.stop()


async def test_a_delivery_in_doubt_is_deleted_and_not_repeated(
    client: AsyncClient, database: asyncpg.Connection, ada: Reader, box: Postbox, start_mailer: StartMailer
) -> None:
    await request(client, ada, "download_link")
    mailer = Mailer(client)
    lease = await mailer.claim()
    await mailer.begin(lease)
    await mailer.end(lease, IN_DOUBT)
    await begin_erasure(client, ada)
    await Erasures(OwnData(client), random=Random(1)).run_once()
    await start_mailer()
    await until(database, ALL_DONE)
    assert (box.taken, await database.fetchval("select count(*) from public.deliveries")) == ([], 0)


async def test_workers_finish_deletions_that_a_request_began(
    client: AsyncClient,
    database: asyncpg.Connection,
    ada: Reader,
    stack: Ready,
) -> None:
    await begin_erasure(client, ada)
    async with whole_worker(settings_of(stack)) as running:
        await running.logged("data of a reader deleted")
        await running.stop()
    assert await database.fetchval(READERS)


async def test_a_link_mail_needs_the_settings_of_links(
    client: AsyncClient, database: asyncpg.Connection, ada: Reader, box: Postbox, start_worker: StartWorker
) -> None:
    await request(client, ada, "delete_link")
    services = Services.build(client)
    with sender_to(box.url(), QUICK) as sender:
        handler = DeliveryHandler(services.deliveries, MailWriter(SENDER, None, DigestRenderer()), sender)
        await start_worker({TaskKind.DELIVERY: handler})
        await until(database, ENDED, "failed")
    reason = await database.fetchval("select reason from public.deliveries")
    assert "links need LINK_SECRET and PUBLIC_URL" in reason
    assert box.taken == []
