"""From a reader who is due to the mail: the real Worker and stack, and a real SMTP server on loopback that counts."""

import email.policy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from aiosmtpd.smtp import SMTP
from supabase import AsyncClient

from app.digest.analysis import ExtractiveAnalyst
from app.digest.rendering import DigestRenderer
from app.digest.scheduled import ScheduledDigests
from app.digest.service import DigestService
from app.links import Links
from app.mail.folder import FolderSender
from app.mail.resend import ResendSender
from app.mail.sender import MailSender
from app.mail_address import Mailbox
from app.models import EditionStatus, TaskKind
from app.persistence.deliveries import DeliveryState
from app.persistence.editions import Editions
from app.persistence.outcomes import Completed, Failed
from app.persistence.readers import Reader, Readers, ReaderStatus
from app.services import Services
from tests.contract.helpers import Claimer
from tests.contract.schedule import Clock, add_reader
from tests.contract.test_items import ARXIV, TODAY, copy, save
from tests.integration.client.scripted_server import ScriptedServer, Step, answer, hang_up
from tests.integration.mail.conftest import QUICK, Hook, Postbox, break_off, break_off_midway, hang, say, sender_to
from tests.integration.worker.conftest import RunningWorker, StartWorker, until
from worker.handlers.delivery import DeliveryHandler, MailWriter
from worker.handlers.digest import DigestHandler
from worker.job import Work

LINKS = Links(["0123456789abcdef"], "https://digest.example")
SENDER = Mailbox("digest@broadsheet.example", "Broadsheet")
AT_ONCE = timedelta(0)
ENDED = "select exists (select from public.deliveries where state = $1)"
ALL_DONE = "select not exists (select from public.queue where not dead)"

StartMailer = Callable[..., Awaitable[RunningWorker]]


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
        ScheduledDigests(services.items, services.digests, analyst, renderer),
    )
    with ExitStack() as opened:

        async def start(sender: MailSender | None = None) -> RunningWorker:
            way = sender or opened.enter_context(sender_to(box.url(), QUICK))
            mails = DeliveryHandler(services.deliveries, MailWriter(SENDER, LINKS, renderer), way)
            works: dict[TaskKind, Work] = {TaskKind.DIGEST: digests, TaskKind.DELIVERY: mails}
            return await start_worker(works, kind_slots={TaskKind.DELIVERY: 1}, retry_delay=lambda *_: AT_ONCE)

        yield start


@pytest.fixture
async def reader(client: AsyncClient, clock: Clock) -> Reader:
    """A reader whom something awaits, and who is due."""
    await save(client, copy(**ARXIV, title="Ice remembers", abstract="Radar reads the memory of glaciers."))
    return await due(client, clock)


async def due(client: AsyncClient, clock: Clock, **columns: Any) -> Reader:
    await clock.set("2026-11-24T06:00:00Z")
    profile = {"interests": ["radar"], "leave_out": ["cooking"], "authors": ["Ada Lovelace"]}
    reader = await add_reader(client, **({"address": "ada@example.org", "profile": profile} | columns))
    await look(client, clock, 24)
    return reader


async def look(client: AsyncClient, clock: Clock, day: int) -> None:
    """Let the schedule look on a day of November, when everybody is due."""
    await clock.set(f"2026-11-{day}T07:30:00Z")
    for _ in range(2):
        await Services.build(client).schedule.enqueue_due()


def mail_of(content: bytes) -> EmailMessage:
    return BytesParser(EmailMessage, policy=email.policy.default).parsebytes(content)


def mails(box: Postbox) -> list[EmailMessage]:
    return [mail_of(content) for content in box.taken]


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


async def the_delivery(database: asyncpg.Connection) -> asyncpg.Record:
    (row,) = await database.fetch("select state, reason from public.deliveries")
    return row


async def test_who_is_due_gets_one_mail_a_day_and_nothing_twice(
    client: AsyncClient,
    database: asyncpg.Connection,
    clock: Clock,
    reader: Reader,
    box: Postbox,
    start_mailer: StartMailer,
) -> None:
    await start_mailer()
    await until(database, ENDED, "sent")
    await look(client, clock, 24)
    await until(database, ALL_DONE)
    written = await database.fetchval("select created_at from public.digests")
    assert await Services.build(client).digests.last_of(reader.reader_id) == written
    (mail,) = mails(box)
    assert (mail["To"], mail["Subject"]) == ("Ada <ada@example.org>", "Ice remembers")
    assert mail["Message-ID"] == f"<digest-2026-11-24-{reader.reader_id}@broadsheet.example>"
    token = str(mail["List-Unsubscribe"]).strip("<>").rpartition("/")[2]
    assert LINKS.read("unsubscribe", token).reader_id == reader.reader_id
    await save(client, copy(external_id="new", title="Radar sees further", abstract="New."))
    await look(client, clock, 25)
    await until(database, "select count(*) = 2 from public.deliveries where state = 'sent'")
    text = body(mails(box)[1], "plain")
    assert "Radar sees further" in text
    assert "Ice remembers" not in text


async def test_the_digest_is_ranked_by_all_that_the_reader_said(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, box: Postbox, start_mailer: StartMailer
) -> None:
    await save(
        client,
        copy(external_id="1", title="Radar for cooking"),
        copy(external_id="2", title="On looms", authors=["Ada Lovelace"]),
        copy(external_id="3", title="Radar for ice"),
    )
    await due(client, clock)
    await start_mailer()
    await until(database, ENDED, "sent")
    (digest,) = await database.fetch("select digest #> '{papers}' as papers, page from public.digests")
    assert "On looms" in digest["page"]
    assert "Radar for ice" in digest["page"]
    assert "cooking" not in digest["papers"]
    assert len(box.taken) == 1


@pytest.mark.parametrize(
    ("choice", "state", "subjects"), [("nothing", "skipped", []), ("line", "sent", ["Nothing new"])]
)
async def test_nothing_new_sends_nothing_or_a_line_and_is_recorded(
    choice: str,
    state: str,
    subjects: list[str],
    client: AsyncClient,
    database: asyncpg.Connection,
    clock: Clock,
    box: Postbox,
    start_mailer: StartMailer,
) -> None:
    await due(client, clock, on_nothing=choice)
    await start_mailer()
    await until(database, ENDED, state)
    assert [str(mail["Subject"])[:11] for mail in mails(box)] == subjects
    assert await database.fetchval("select count(*) from public.digests") == 1


async def test_without_an_address_the_digest_is_shown_by_being_there(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, box: Postbox, start_mailer: StartMailer
) -> None:
    await save(client, copy(**ARXIV, title="Radar reads ice"))
    reader = await due(client, clock, address=None)
    await start_mailer()
    await until(database, "select exists (select from public.digests)")
    assert len((await Services.build(client).items.news_for(reader.reader_id, None)).shown) == 1
    await look(client, clock, 25)
    await until(database, "select count(*) = 2 from public.digests")
    assert (
        await database.fetchval("select digest -> 'papers' from public.digests where local_day = '2026-11-25'") == "[]"
    )
    assert box.taken == []


@pytest.mark.usefixtures("reader")
async def test_missing_sources_are_named_and_keep_nobody_waiting(
    client: AsyncClient,
    database: asyncpg.Connection,
    box: Postbox,
    start_mailer: StartMailer,
) -> None:
    await Editions(client).finish_edition(TODAY, EditionStatus.PARTIAL, {"feed:nature": "it answered 503"})
    await start_mailer()
    await until(database, ENDED, "sent")
    (mail,) = mails(box)
    assert "nature: it answered 503" in body(mail, "plain")


@pytest.mark.usefixtures("reader")
async def test_it_waits_for_a_fetch_that_runs_and_takes_what_there_is_if_that_fails(
    client: AsyncClient, database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:
    fetch = await Services.build(client).tasks.ensure_fetch(TODAY)
    await start_mailer()
    await until(database, "select exists (select from public.queue where waits_for = $1)", fetch.task_id)
    assert box.taken == []
    fetcher = Claimer(client, kinds=[TaskKind.FETCH])
    await fetcher.finish(await fetcher.claim_one(), Failed("arXiv is down", None))
    await until(database, ENDED, "sent")
    assert len(box.taken) == 1


def once(hook: Hook) -> Hook:
    """Do it the first time alone."""
    left = [hook]

    async def step(box: Postbox, server: SMTP) -> str:
        return await left.pop()(box, server) if left else ""

    return step


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("step", "first"),
    [("MAIL", say("451 4.3.0 later")), ("DATA", say("452 4.2.2 full")), ("MAIL", break_off), ("RCPT", break_off)],
)
async def test_what_was_surely_not_sent_is_sent_later(
    step: str,
    first: Hook,
    database: asyncpg.Connection,
    box: Postbox,
    start_mailer: StartMailer,
) -> None:
    box.steps[step] = once(first)
    await start_mailer()
    await until(database, ENDED, "sent")
    assert (len(box.taken), box.commands.count("MAIL")) == (1, 2)


async def test_a_refusal_for_good_fails_it_and_the_reader_stays(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader, box: Postbox, start_mailer: StartMailer
) -> None:
    box.steps["DATA"] = say("554 5.7.1 this is spam")
    await start_mailer()
    await until(database, ENDED, "failed")
    await until(database, ALL_DONE)
    assert "this is spam" in (await the_delivery(database))["reason"]
    assert (await Readers(client).get(reader.reader_id)).status is ReaderStatus.ACTIVE
    assert box.commands.count("MAIL") == 1
    assert await database.fetchval("select count(*) from public.shown") == 0
    assert await Services.build(client).digests.last_of(reader.reader_id) is None, "what it held is new still"


async def test_an_address_that_does_not_exist_stops_the_readers_mail_and_says_why(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader, box: Postbox, start_mailer: StartMailer
) -> None:
    box.steps["RCPT"] = say("550 5.1.1 no such user")
    await start_mailer()
    await until(database, ENDED, "failed")
    found = await Readers(client).get(reader.reader_id)
    assert found.status is ReaderStatus.BOUNCED
    assert found.status_reason is not None
    assert "no such user" in found.status_reason


@pytest.mark.parametrize(("step", "taken"), [("DATA", 0), ("TAKEN", 1)])
async def test_a_connection_that_breaks_after_the_final_dot_leaves_a_doubt_and_no_second_mail(
    step: str,
    taken: int,
    client: AsyncClient,
    database: asyncpg.Connection,
    reader: Reader,
    box: Postbox,
    start_mailer: StartMailer,
) -> None:
    box.steps[step] = once(break_off)
    await start_mailer()
    await until(database, ENDED, "ambiguous")
    await until(database, ALL_DONE)
    assert (len(box.taken), box.commands.count("MAIL")) == (taken, 1)
    assert "lost" not in (await the_delivery(database))["reason"], "it was said at once"
    assert len((await Services.build(client).items.news_for(reader.reader_id, None)).shown) == 1


@pytest.mark.usefixtures("reader")
async def test_a_connection_that_breaks_before_the_final_dot_leaves_none(
    database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:

    async def cut(box: Postbox, server: SMTP) -> str:
        del box.steps["CONTENT"]
        return await break_off_midway(box, server)

    box.steps["CONTENT"] = cut
    await start_mailer()
    await until(database, "select exists (select from public.deliveries where state in ('sent', 'ambiguous'))")
    # Whether the server had the dot, a client cannot know once it has written it.
    state = (await the_delivery(database))["state"]
    assert (state, len(box.taken)) in [("sent", 1), ("ambiguous", 0)]


@pytest.mark.usefixtures("reader")
async def test_a_shutdown_before_the_first_byte_gives_it_back_and_another_sends_it(
    database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:
    box.steps["EHLO"] = once(hang)
    worker = await start_mailer()
    await box.reached.wait()
    await worker.stop()
    assert (await the_delivery(database))["state"] == DeliveryState.PENDING
    await start_mailer()
    await until(database, ENDED, "sent")
    assert len(box.taken) == 1


@pytest.mark.usefixtures("reader")
async def test_what_comes_later_than_the_next_is_due_is_left_out(
    client: AsyncClient,
    database: asyncpg.Connection,
    clock: Clock,
    box: Postbox,
    start_mailer: StartMailer,
) -> None:
    writer = Claimer(client, kinds=[TaskKind.DIGEST])
    await writer.finish(await writer.claim_one(), Completed({}, {"digest": {"papers": [{}], "news": []}, "page": ""}))
    await look(client, clock, 25)
    await start_mailer()
    await until(database, ENDED, "sent")
    rows = await database.fetch("select local_day::text, state from public.deliveries order by 1")
    assert [tuple(row) for row in rows] == [("2026-11-24", "skipped"), ("2026-11-25", "sent")]
    assert len(box.taken) == 1


@pytest.mark.usefixtures("reader")
async def test_a_digest_that_cannot_be_read_fails_its_delivery_and_leaves_no_doubt(
    client: AsyncClient, database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:
    writer = Claimer(client, kinds=[TaskKind.DIGEST])
    await writer.finish(await writer.claim_one(), Completed({}, {"digest": {"papers": 7, "news": []}, "page": ""}))
    await start_mailer()
    await until(database, ENDED, "failed")
    assert "cannot be written" in (await the_delivery(database))["reason"]
    assert box.commands == []


@pytest.mark.usefixtures("reader")
async def test_deliveries_that_are_paused_wait_and_then_go(
    client: AsyncClient, database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:
    deliveries = Services.build(client).deliveries
    await deliveries.pause("a look first", by="ops")
    await start_mailer()
    await until(
        database,
        "select exists (select from public.queue where kind = 'delivery' and worker_id is null and run_at > now())",
    )
    assert (await the_delivery(database))["state"] == DeliveryState.PENDING
    await deliveries.resume(by="ops", skip_pending=False)
    await database.execute("update public.queue set run_at = now() where kind = 'delivery'")
    await until(database, ENDED, "sent")
    assert len(box.taken) == 1


async def test_a_welcome_comes_once_by_whatever_way(
    client: AsyncClient, database: asyncpg.Connection, tmp_path: Any, start_mailer: StartMailer
) -> None:
    reader = await add_reader(client, address="ada@example.org", zone=None, send_at=None, welcome=True)
    await start_mailer(FolderSender(tmp_path))
    await until(database, ENDED, "sent")
    (file,) = tmp_path.iterdir()
    assert UUID(file.stem[-36:]) == reader.reader_id
    mail = mail_of(file.read_bytes())
    assert mail["Subject"] == "Welcome to Broadsheet"
    assert "/r/unsubscribe/" in body(mail, "html")


@pytest.fixture
async def start_resend() -> AsyncIterator[Callable[..., Awaitable[tuple[ResendSender, ScriptedServer]]]]:
    """Start a server that answers as Resend, and a sender that asks it."""
    async with AsyncExitStack() as opened:

        async def start(*steps: Step) -> tuple[ResendSender, ScriptedServer]:
            server = ScriptedServer(*steps)
            await server.start()
            opened.push_async_callback(server.stop)
            http = await opened.enter_async_context(httpx.AsyncClient(trust_env=False))
            return ResendSender(http, "re_123", QUICK, server.url), server

        yield start


@pytest.mark.usefixtures("reader")
async def test_with_a_providers_key_a_doubt_is_settled_by_the_same_mail(
    database: asyncpg.Connection,
    start_mailer: StartMailer,
    start_resend: Callable[..., Awaitable[tuple[ResendSender, ScriptedServer]]],
) -> None:
    busy = answer(429, {"name": "rate_limit_exceeded"})
    sender, server = await start_resend(hang_up, busy, answer(200, {"id": "re-1"}))
    await start_mailer(sender)
    await until(database, "select exists (select from public.deliveries where provider_id = 're-1' and state = 'sent')")
    assert len(server.bodies) == 3
    assert len(set(server.bodies)) == 1


@pytest.mark.usefixtures("reader")
async def test_a_refusal_after_a_doubt_leaves_the_doubt(
    database: asyncpg.Connection,
    start_mailer: StartMailer,
    start_resend: Callable[..., Awaitable[tuple[ResendSender, ScriptedServer]]],
) -> None:
    sender, _ = await start_resend(hang_up, *[answer(422, {"name": "validation_error"})] * 30)
    await start_mailer(sender)
    await until(database, ENDED, "ambiguous")
