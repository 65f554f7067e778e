"""The confirmation mail, from the sign-up to a real SMTP server: its content, and that it is sent at most once."""

from email.message import EmailMessage

import asyncpg
import pytest
from supabase import AsyncClient

from app.mail.confirmation_mail import SUBJECT
from app.models.tasks import TaskKind
from app.persistence.readers import Readers, ReaderStatus
from tests.support.confirmations import confirm, signed_up, unconfirmed
from tests.support.reader_mails import ALL_DONE, ENDED, LINKS, body, mails, once
from tests.support.running_worker import StartMailer, until
from tests.support.schedule import add_reader
from tests.support.smtp_server import Hook, Postbox, break_off, say
from tests.support.visitors import HOSTILE

DELIVERIES_ONLY = (TaskKind.DELIVERY,)
LIST_HEADERS = ("List-Id", "List-Unsubscribe", "List-Unsubscribe-Post")


def only_link(mail: EmailMessage) -> str:
    """The one link of the mail, which both of its parts have."""
    (line,) = [line for line in body(mail, "plain").splitlines() if "://" in line]
    assert body(mail, "html").count("://") == body(mail, "html").count(f'href="{line}"') == 1
    return line


async def test_a_sign_up_gets_one_mail_with_nothing_but_a_link(
    client: AsyncClient, database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:
    reader = await signed_up(client, "ada@example.org")
    await Readers(client).change(
        reader.reader_id, {"name": f"Typed {HOSTILE}", "profile": {"interests": ["typed"], "goals": "typed"}}
    )
    await start_mailer(kinds=DELIVERIES_ONLY)
    await until(database, ENDED, "sent")
    (mail,) = mails(box)
    assert (mail["To"], mail["Subject"], mail["Auto-Submitted"]) == ("ada@example.org", SUBJECT, "auto-generated")
    assert [name for name in LIST_HEADERS if mail[name]] == []
    for kind in ("plain", "html"):
        assert "yped" not in body(mail, kind)
        assert "script" not in body(mail, kind)
    token = only_link(mail).removeprefix("https://digest.example/r/confirm/")
    link = LINKS.read("confirm", token)
    assert (link.reader_id, link.generation) == (reader.reader_id, 1)
    assert link.day is not None
    assert await confirm(client, reader, generation=link.generation, day=link.day) == "confirmed"
    await until(database, "select count(*) = 2 from public.deliveries where status = 'sent'")
    assert [each["Subject"] for each in mails(box)] == [SUBJECT, "Welcome to Broadsheet"]


async def test_a_known_address_and_a_second_sign_up_get_no_mail(
    client: AsyncClient, database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:
    known = await add_reader(client, email="known@example.org")
    for address in ("known@example.org", "new@example.org", "NEW@example.org", "new+tag@example.org"):
        await signed_up(client, address)
    await start_mailer(kinds=DELIVERIES_ONLY)
    await until(database, ALL_DONE)
    assert [mail["Subject"] for mail in mails(box)] == [SUBJECT]
    assert str(mails(box)[0]["To"]).lower().replace("+tag", "") == "new@example.org"
    assert await Readers(client).get(known.reader_id) == known


@pytest.mark.parametrize(
    ("command", "step", "status", "reader_status"),
    [("DATA", break_off, "in_doubt", "unconfirmed"), ("RCPT", say("550 5.1.1 no such user"), "failed", "bounced")],
    ids=["no response", "bounce"],
)
async def test_a_confirmation_is_sent_at_most_once(
    command: str,
    step: Hook,
    status: str,
    reader_status: str,
    client: AsyncClient,
    database: asyncpg.Connection,
    box: Postbox,
    start_mailer: StartMailer,
) -> None:
    reader = await signed_up(client, "ada@example.org")
    box.steps[command] = step
    await start_mailer(kinds=DELIVERIES_ONLY)
    await until(database, ENDED, status)
    await until(database, ALL_DONE)
    assert (await Readers(client).get(reader.reader_id)).status is ReaderStatus(reader_status)
    await signed_up(client, "ada@example.org")
    await until(database, ENDED, "skipped")
    assert mails(box) == []


async def test_a_greylisted_confirmation_is_sent_later(
    client: AsyncClient, database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:
    await unconfirmed(client)
    box.steps["RCPT"] = once(say("451 4.7.1 try again"))
    await start_mailer(kinds=DELIVERIES_ONLY)
    await until(database, ENDED, "sent")
    assert len(mails(box)) == 1
