"""A reader's day from the due time to the mail: its content, its new items, and what it does not wait for."""

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.articles import EditionStatus
from app.models.tasks import TaskKind
from app.persistence.editions import Editions
from app.persistence.outcomes import Failed
from app.persistence.readers import Reader
from app.services import Services
from tests.support.items import ARXIV, TODAY, copy, save
from tests.support.reader_mails import ALL_DONE, ENDED, LINKS, body, due, look, mails
from tests.support.running_worker import StartMailer, until
from tests.support.schedule import Clock
from tests.support.smtp_server import Postbox
from tests.support.stored_pages import stored_page
from tests.support.tasks import Claimer


async def test_a_due_reader_gets_one_mail_a_day_without_repeats(
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
    assert (await Services.build(client).items.new_items_for(reader.reader_id)).last_digest == written
    (mail,) = mails(box)
    assert (mail["To"], mail["Subject"]) == ("Ada <ada@example.org>", "Ice remembers")
    assert mail["Message-ID"] == f"<digest-2026-11-24-{reader.reader_id}@broadsheet.example>"
    token = str(mail["List-Unsubscribe"]).strip("<>").rpartition("/")[2]
    assert LINKS.read("unsubscribe", token).reader_id == reader.reader_id
    await save(client, copy(external_id="new", title="Radar sees further", abstract="New."))
    await look(client, clock, 25)
    await until(database, "select count(*) = 2 from public.deliveries where status = 'sent'")
    text = body(mails(box)[1], "plain")
    assert "Radar sees further" in text
    assert "Ice remembers" not in text


async def test_the_digest_is_ranked_by_the_whole_profile(
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
    page = await stored_page(database)
    assert "On looms" in page
    assert "Radar for ice" in page
    assert "cooking" not in await database.fetchval("select digest ->> 'papers' from public.digests")
    assert len(box.taken) == 1


@pytest.mark.parametrize(
    ("choice", "status", "subjects"), [("skip", "skipped", []), ("notify", "sent", ["Nothing new"])]
)
async def test_an_empty_digest_is_recorded_and_follows_when_empty(
    choice: str,
    status: str,
    subjects: list[str],
    client: AsyncClient,
    database: asyncpg.Connection,
    clock: Clock,
    box: Postbox,
    start_mailer: StartMailer,
) -> None:
    await due(client, clock, when_empty=choice)
    await start_mailer()
    await until(database, ENDED, status)
    assert [str(mail["Subject"])[:11] for mail in mails(box)] == subjects
    assert await database.fetchval("select count(*) from public.digests") == 1


async def test_without_an_email_the_stored_digest_counts_as_shown(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, box: Postbox, start_mailer: StartMailer
) -> None:
    await save(client, copy(**ARXIV, title="Radar reads ice"))
    reader = await due(client, clock, email=None)
    await start_mailer()
    await until(database, "select exists (select from public.digests)")
    assert len((await Services.build(client).items.new_items_for(reader.reader_id)).shown) == 1
    await look(client, clock, 25)
    await until(database, "select count(*) = 2 from public.digests")
    assert (
        await database.fetchval("select digest -> 'papers' from public.digests where local_day = '2026-11-25'") == "[]"
    )
    assert box.taken == []


@pytest.mark.usefixtures("reader")
async def test_missing_sources_are_named_and_delay_no_mail(
    client: AsyncClient,
    database: asyncpg.Connection,
    box: Postbox,
    start_mailer: StartMailer,
) -> None:
    await Editions(client).finish_edition(TODAY, EditionStatus.PARTIAL, {"feed:nature": "it answered 503"})
    await start_mailer()
    await until(database, ENDED, "sent")
    (mail,) = mails(box)
    assert "INCOMPLETE: nature could not be read" in body(mail, "plain")
    for kind in ("plain", "html"):  # The whole mail has random links and boundaries, which can contain 503.
        assert "it answered" not in body(mail, kind), "the cause is for operators"


@pytest.mark.usefixtures("reader")
async def test_a_mail_waits_for_a_running_fetch_even_if_it_fails(
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
