"""A reader who is due, and the resulting mails."""

import email.policy
from datetime import date, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

import asyncpg
from aiosmtpd.smtp import SMTP
from supabase import AsyncClient

from app.config.mail_address import Mailbox
from app.links import Links
from app.models.articles import EditionStatus
from app.persistence.editions import Editions
from app.persistence.readers import Reader
from app.services import Services
from tests.support.schedule import Clock, add_reader
from tests.support.smtp_server import Hook, Postbox

LINKS = Links(["0123456789abcdef"], "https://digest.example")
SENDER = Mailbox("digest@broadsheet.example", "Broadsheet")
AT_ONCE = timedelta(0)
ENDED = "select exists (select from public.deliveries where status = $1)"
ALL_DONE = "select not exists (select from public.queue where not dead_letter)"


async def due(client: AsyncClient, clock: Clock, **columns: Any) -> Reader:
    await clock.set("2026-11-24T06:00:00Z")
    profile = {"interests": ["radar"], "exclude": ["cooking"], "authors": ["Ada Lovelace"]}
    reader = await add_reader(client, **({"email": "ada@example.org", "profile": profile} | columns))
    await look(client, clock, 24)
    return reader


async def look(client: AsyncClient, clock: Clock, day: int) -> None:
    """Run the schedule on a day of November when everybody is due and the previous day was fetched."""
    await read_day(client, date(2026, 11, day - 1))
    await clock.set(f"2026-11-{day}T07:30:00Z")
    for _ in range(2):
        await Services.build(client).schedule.enqueue_due()


async def read_day(client: AsyncClient, day: date) -> None:
    """Record that all sources were read for a day."""
    await Editions(client).begin_edition(day)
    await Editions(client).finish_edition(day, EditionStatus.COMPLETED, {})


def mail_of(content: bytes) -> EmailMessage:
    return BytesParser(EmailMessage, policy=email.policy.default).parsebytes(content)


def mails(box: Postbox) -> list[EmailMessage]:
    return [mail_of(content) for content in box.taken]


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


async def the_delivery(database: asyncpg.Connection) -> asyncpg.Record:
    (row,) = await database.fetch("select status, reason from public.deliveries")
    return row


def once(hook: Hook) -> Hook:
    """Do it only the first time."""
    left = [hook]

    async def step(box: Postbox, server: SMTP) -> str:
        return await left.pop()(box, server) if left else ""

    return step
