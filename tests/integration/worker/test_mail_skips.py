"""A mail that waits for its retry is not sent if there is a reason against it meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from aiosmtpd.smtp import SMTP
from supabase import AsyncClient

from app.persistence.deliveries import Deliveries
from app.persistence.readers import Reader, Readers
from tests.support.reader_mails import ALL_DONE, once, the_delivery
from tests.support.running_worker import StartMailer, until
from tests.support.schedule import Clock
from tests.support.smtp_server import Postbox

Change = Callable[[AsyncClient, Reader, Clock], Awaitable[object]]
LATER = "451 4.3.0 later"
REASONS: dict[str, Change] = {
    "the reader is unsubscribed": lambda c, r, _: Readers(c).change(r.reader_id, {"status": "unsubscribed"}),
    "the reader is paused": lambda c, r, _: Readers(c).change(r.reader_id, {"status": "paused"}),
    "the reader is bounced": lambda c, r, _: Deliveries(c).record_bounce([str(r.email)], "gone", complaint=False),
    "the reader has no e-mail address": lambda c, r, _: Readers(c).change(r.reader_id, {"email": None}),
    "too late: the next one is due": lambda _c, _r, clock: clock.set("2026-11-25T07:30:00Z"),
}


class Meanwhile:
    """Requests a later retry of the first mail, after the test has changed something."""

    def __init__(self, box: Postbox, step: str) -> None:
        self._reached, self._changed = asyncio.Event(), asyncio.Event()
        box.steps[step] = once(self._step)

    async def _step(self, _box: Postbox, _server: SMTP) -> str:
        self._reached.set()
        await self._changed.wait()
        return "451 4.3.0 later"

    async def happens(self, change: Awaitable[object]) -> None:
        await self._reached.wait()
        await change
        self._changed.set()


@pytest.mark.parametrize("step", ["MAIL", "DATA"])
@pytest.mark.parametrize("reason", REASONS)
async def test_each_reason_to_skip_is_checked_again_at_the_retry(
    step: str,
    reason: str,
    client: AsyncClient,
    clock: Clock,
    database: asyncpg.Connection,
    reader: Reader,
    box: Postbox,
    start_mailer: StartMailer,
) -> None:
    meanwhile = Meanwhile(box, step)
    await start_mailer()
    await meanwhile.happens(REASONS[reason](client, reader, clock))
    await until(database, ALL_DONE)
    found = await the_delivery(database)
    assert (found["status"], found["reason"]) == ("skipped", reason)
    assert (box.taken, box.commands.count("MAIL")) == ([], 1)


async def test_a_removed_reader_is_not_mailed_at_the_retry(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader, box: Postbox, start_mailer: StartMailer
) -> None:
    meanwhile = Meanwhile(box, "MAIL")
    await start_mailer()
    await meanwhile.happens(Readers(client).remove(reader.reader_id, "default"))
    await until(database, ALL_DONE)
    assert await database.fetchval("select count(*) from public.deliveries") == 0
    assert box.taken == []


@pytest.mark.usefixtures("reader")
async def test_a_retry_waits_while_deliveries_are_paused(
    client: AsyncClient, database: asyncpg.Connection, box: Postbox, start_mailer: StartMailer
) -> None:
    meanwhile = Meanwhile(box, "MAIL")
    await start_mailer()
    await meanwhile.happens(Deliveries(client).pause("a look first", by="ops"))
    await until(
        database,
        "select exists (select from public.queue where kind = 'delivery' and message like '%a look first%')",
    )
    assert (await the_delivery(database))["status"] == "pending"
    assert (box.taken, box.commands.count("MAIL")) == ([], 1)
