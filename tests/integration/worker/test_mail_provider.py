"""Mails through a provider with idempotency keys: which mails are repeated, by which sender, and which end in doubt."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.mail.resend import ResendSender
from app.models.tasks import TaskKind
from app.persistence.deliveries import Send
from app.persistence.readers import Reader, Readers
from embedded.stack import Ready
from tests.support.mailer import Mailer
from tests.support.reader_mails import ALL_DONE, ENDED, the_delivery
from tests.support.running_worker import StartMailer, until
from tests.support.scripted_server import ScriptedServer, Step, answer, hang_up, stall
from tests.support.smtp_server import QUICK
from tests.support.tasks import expire_lease

StartResend = Callable[..., Awaitable[tuple[ResendSender, ScriptedServer]]]
ATTEMPTS = 20
FAILING = answer(500, {"name": "application_error"})
UNKNOWN_ADDRESS = answer(422, {"name": "validation_error"})


@pytest.fixture
async def start_resend() -> AsyncIterator[StartResend]:
    """Start a server that responds like Resend, and a sender that calls it."""
    async with AsyncExitStack() as opened:

        async def start(
            *steps: Step, key: str = "re_123", response_timeout: float = 30
        ) -> tuple[ResendSender, ScriptedServer]:
            server = ScriptedServer(*steps)
            await server.start()
            opened.push_async_callback(server.stop)
            http = await opened.enter_async_context(httpx.AsyncClient(trust_env=False))
            limits = replace(QUICK, cancel_grace=0.1, response_timeout=response_timeout)
            return ResendSender(http, key, limits, server.url), server

        yield start


@pytest.mark.usefixtures("reader")
async def test_a_doubt_is_resolved_by_repeating_the_same_request(
    database: asyncpg.Connection,
    start_mailer: StartMailer,
    start_resend: StartResend,
) -> None:
    busy = answer(429, {"name": "rate_limit_exceeded"})
    sender, server = await start_resend(hang_up, busy, answer(200, {"id": "re-1"}))
    await start_mailer(sender)
    sent = "select exists (select from public.deliveries where provider_id = 're-1' and status = 'sent')"
    await until(database, sent)
    assert len(server.bodies) == 3
    assert len(set(server.bodies)) == 1


@pytest.mark.usefixtures("reader")
async def test_a_refusal_after_a_doubt_does_not_resolve_it(
    database: asyncpg.Connection,
    start_mailer: StartMailer,
    start_resend: StartResend,
) -> None:
    sender, server = await start_resend(hang_up, UNKNOWN_ADDRESS)
    await start_mailer(sender)
    await until(database, ALL_DONE)
    found = await the_delivery(database)
    assert (found["status"], len(server.seen)) == ("in_doubt", 2), "the refusal ends it once"
    assert "Resend responded 422" in found["reason"]


@pytest.mark.usefixtures("reader")
async def test_a_doubt_stays_if_the_digest_is_no_longer_readable(
    database: asyncpg.Connection,
    stack: Ready,
    start_mailer: StartMailer,
    start_resend: StartResend,
) -> None:
    async def spoil_and_hang_up(writer: asyncio.StreamWriter) -> None:
        other = await asyncpg.connect(stack.database_url)
        await other.execute("""update public.digests set digest = '{"papers": 7}'""")
        await other.close()
        await hang_up(writer)

    sender, server = await start_resend(spoil_and_hang_up, answer(200, {"id": "never asked"}))
    await start_mailer(sender)
    await until(database, ALL_DONE)
    found = await the_delivery(database)
    assert (found["status"], len(server.bodies)) == ("in_doubt", 1)
    assert "cannot be written" in found["reason"]


@pytest.mark.usefixtures("reader")
async def test_a_refusal_after_a_kill_ends_the_delivery_once(
    client: AsyncClient, database: asyncpg.Connection, start_mailer: StartMailer, start_resend: StartResend
) -> None:
    sender, server = await start_resend(UNKNOWN_ADDRESS)
    writing = await start_mailer(sender, kinds=[TaskKind.DIGEST])
    await until(database, "select exists (select from public.deliveries)")
    await writing.stop()
    killed = Mailer(client)
    lease = await killed.claim()
    within = timedelta(hours=23)
    assert isinstance(await killed.begin(lease, repeatable_within=within, sender_id=sender.sender_id), Send)
    await expire_lease(database, lease.task_id)
    await start_mailer(sender)
    await until(database, ALL_DONE)
    found = await the_delivery(database)
    assert (found["status"], len(server.seen)) == ("in_doubt", 1)
    assert "Resend responded 422" in found["reason"]


@pytest.mark.usefixtures("reader")
async def test_a_provider_failure_is_the_reason_of_the_doubt(
    database: asyncpg.Connection, start_mailer: StartMailer, start_resend: StartResend
) -> None:
    sender, server = await start_resend(FAILING)
    await start_mailer(sender)
    await until(database, ENDED, "in_doubt")
    found = await the_delivery(database)
    assert len(server.seen) == ATTEMPTS
    assert "Resend responded 500" in found["reason"]
    assert "lost" not in found["reason"]


@pytest.mark.usefixtures("reader")
async def test_a_mail_is_not_repeated_with_another_account(
    database: asyncpg.Connection, start_mailer: StartMailer, start_resend: StartResend
) -> None:
    first, requests = await start_resend(hang_up, stall, response_timeout=1.0)
    worker = await start_mailer(first)
    await until(database, "select exists (select from public.deliveries where reason like '%lost%')")
    await worker.stop()
    assert requests.seen
    second, second_server = await start_resend(answer(200, {"id": "a second mail"}), key="re_456")
    await start_mailer(second)
    await until(database, ALL_DONE)
    found = await the_delivery(database)
    assert (found["status"], second_server.seen) == ("in_doubt", [])
    assert "another sender began it" in found["reason"]


async def test_after_a_500_an_unsubscribed_reader_is_not_mailed_again(
    client: AsyncClient,
    database: asyncpg.Connection,
    reader: Reader,
    start_mailer: StartMailer,
    start_resend: StartResend,
) -> None:
    async def leave_and_fail(writer: asyncio.StreamWriter) -> None:
        await Readers(client).change(reader.reader_id, {"status": "unsubscribed"})
        await FAILING(writer)

    sender, server = await start_resend(leave_and_fail, answer(200, {"id": "never asked"}))
    await start_mailer(sender)
    await until(database, ALL_DONE)
    found = await the_delivery(database)
    assert (found["status"], len(server.seen)) == ("in_doubt", 1)
    assert "Resend responded 500" in found["reason"]
    assert "the reader is unsubscribed" in found["reason"]
