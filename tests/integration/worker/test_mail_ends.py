"""A mail with an error is sent later, fails, is in doubt or is skipped; it is never sent twice."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiosmtpd.smtp import SMTP
from supabase import AsyncClient

from app.digest.rendering import DigestRenderer
from app.mail.folder import FolderSender
from app.models.digests import Digest, PageLinks
from app.models.tasks import TaskKind
from app.persistence.deliveries import DeliveryStatus
from app.persistence.outcomes import Completed
from app.persistence.readers import Reader, Readers, ReaderStatus
from app.services import Services
from tests.support.reader_mails import ALL_DONE, ENDED, body, look, mail_of, once, the_delivery
from tests.support.running_worker import StartMailer, until
from tests.support.schedule import Clock, add_reader
from tests.support.smtp_server import Hook, Postbox, break_off, break_off_midway, hang, say
from tests.support.tasks import Claimer


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("step", "first"),
    [("MAIL", say("451 4.3.0 later")), ("DATA", say("452 4.2.2 full")), ("MAIL", break_off), ("RCPT", break_off)],
)
async def test_a_mail_that_was_certainly_not_sent_is_retried(
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


async def test_a_permanent_refusal_fails_the_mail_but_not_the_reader(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader, box: Postbox, start_mailer: StartMailer
) -> None:
    box.steps["DATA"] = say("554 5.7.1 this is spam")
    await start_mailer()
    await until(database, ENDED, "failed")
    await until(database, ALL_DONE)
    assert "this is spam" in (await the_delivery(database))["reason"]
    assert (await Readers(client).get(reader.reader_id)).status is ReaderStatus.ACTIVE
    assert box.commands.count("MAIL") == 1
    assert await database.fetchval("select count(*) from public.shown_items") == 0
    assert (await Services.build(client).items.new_items_for(reader.reader_id)).last_digest is None, "its items are new"


async def test_an_unknown_address_stops_the_readers_mail_with_a_reason(
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
async def test_a_break_after_the_final_dot_leaves_one_mail_in_doubt(
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
    await until(database, ENDED, "in_doubt")
    await until(database, ALL_DONE)
    assert (len(box.taken), box.commands.count("MAIL")) == (taken, 1)
    assert "lost" not in (await the_delivery(database))["reason"], "it was reported at once"
    assert len((await Services.build(client).items.new_items_for(reader.reader_id)).shown) == 1


@pytest.mark.usefixtures("reader")
async def test_a_break_before_the_final_dot_never_counts_as_sent(
    database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:

    async def cut(box: Postbox, server: SMTP) -> str:
        del box.steps["CONTENT"]
        return await break_off_midway(box, server)

    box.steps["CONTENT"] = cut
    await start_mailer()
    await until(database, "select exists (select from public.deliveries where status in ('sent', 'in_doubt'))")
    # Once the client has written the dot, it cannot know whether the server received it.
    status = (await the_delivery(database))["status"]
    assert (status, len(box.taken)) in [("sent", 1), ("in_doubt", 0)]


@pytest.mark.usefixtures("reader")
async def test_a_shutdown_before_the_first_byte_releases_the_mail(
    database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:
    box.steps["EHLO"] = once(hang)
    worker = await start_mailer()
    await box.reached.wait()
    await worker.stop()
    assert (await the_delivery(database))["status"] == DeliveryStatus.PENDING
    await start_mailer()
    await until(database, ENDED, "sent")
    assert len(box.taken) == 1


class HangingRenderer(DigestRenderer):
    """Begins to render a page and never ends."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()

    async def render(self, digest: Digest, links: PageLinks | None = None) -> str:
        self.reached.set()
        await asyncio.Event().wait()
        return await super().render(digest, links)


@pytest.mark.usefixtures("reader")
async def test_a_shutdown_while_a_mail_is_rendered_leaves_no_doubt(
    database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:
    hanging = HangingRenderer()
    worker = await start_mailer(mail_renderer=hanging)
    await hanging.reached.wait()
    await worker.stop()
    assert (await the_delivery(database))["status"] == DeliveryStatus.PENDING
    await start_mailer()
    await until(database, ENDED, "sent")
    assert len(box.taken) == 1


@pytest.mark.usefixtures("reader")
async def test_a_mail_is_skipped_once_the_next_one_is_due(
    client: AsyncClient,
    database: asyncpg.Connection,
    clock: Clock,
    box: Postbox,
    start_mailer: StartMailer,
) -> None:
    writer = Claimer(client, kinds=[TaskKind.DIGEST])
    await writer.finish(await writer.claim_one(), Completed({}, {"papers": [{}], "news": []}))
    await look(client, clock, 25)
    await start_mailer()
    await until(database, ENDED, "sent")
    rows = await database.fetch("select local_day::text, status from public.deliveries order by 1")
    assert [tuple(row) for row in rows] == [("2026-11-24", "skipped"), ("2026-11-25", "sent")]
    assert len(box.taken) == 1


@pytest.mark.usefixtures("reader")
async def test_an_unreadable_digest_fails_its_delivery_without_doubt(
    client: AsyncClient, database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:
    writer = Claimer(client, kinds=[TaskKind.DIGEST])
    await writer.finish(await writer.claim_one(), Completed({}, {"papers": 7, "news": []}))
    await start_mailer()
    await until(database, ENDED, "failed")
    assert "cannot be written" in (await the_delivery(database))["reason"]
    assert box.commands == []


@pytest.mark.usefixtures("reader")
async def test_paused_deliveries_are_sent_after_the_pause(
    client: AsyncClient, database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:
    deliveries = Services.build(client).deliveries
    await deliveries.pause("a look first", by="ops")
    await start_mailer()
    await until(
        database,
        "select exists (select from public.queue where kind = 'delivery' and worker_id is null and run_at > now())",
    )
    assert (await the_delivery(database))["status"] == DeliveryStatus.PENDING
    await deliveries.resume(by="ops", skip_pending=False)
    await database.execute("update public.queue set run_at = now() where kind = 'delivery'")
    await until(database, ENDED, "sent")
    assert len(box.taken) == 1


async def test_the_welcome_mail_is_sent_once(
    client: AsyncClient, database: asyncpg.Connection, tmp_path: Any, start_mailer: StartMailer
) -> None:
    reader = await add_reader(client, email="ada@example.org", timezone=None, send_at=None, welcome=True)
    await start_mailer(FolderSender(tmp_path))
    await until(database, ENDED, "sent")
    (file,) = tmp_path.iterdir()
    assert UUID(file.stem[-36:]) == reader.reader_id
    mail = mail_of(file.read_bytes())
    assert mail["Subject"] == "Welcome to Broadsheet"
    assert "/r/unsubscribe/" in body(mail, "html")
