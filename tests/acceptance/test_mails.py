"""Readers' mails by real workers, killed while they send, to a server that has its moods: nobody gets two a day."""

import asyncio
import email
import signal
from collections import Counter

import asyncpg
from aiosmtpd.smtp import SMTP
from supabase import AsyncClient

from app.persistence.schedule import Schedule
from embedded.stack import Ready
from tests.contract.schedule import Clock, add_reader
from tests.contract.test_items import ARXIV, copy, save
from tests.integration.mail.conftest import Postbox, break_off
from tests.processes import ServiceProcess, worker_process

READERS = 40
KILLS = 6
STARTED = "worker started"


class Moods:
    """Every so many mails the server wants to be asked later, breaks off after the final dot, or is slow."""

    def __init__(self) -> None:
        self.mails = 0
        self.breaks = 0
        self.slow = asyncio.Semaphore(0)

    async def __call__(self, box: Postbox, server: SMTP) -> str:
        self.mails += 1
        mood = self.mails % 8
        if mood == 1:
            return "451 4.3.0 later"
        if mood == 3:
            self.breaks += 1
            return await break_off(box, server)
        if mood in {5, 7}:
            self.slow.release()
            await asyncio.sleep(0.4)
        return ""


def mailing_worker(stack: Ready, box: Postbox) -> ServiceProcess:
    return worker_process(
        stack,
        MAIL_URL=f"smtp://127.0.0.1:{box.port}",
        MAIL_FROM="Broadsheet <digest@broadsheet.example>",
        MAIL_CONNECTIONS="1",
        PUBLIC_URL="https://digest.example",
        LINK_SECRET="0123456789abcdef",
    )


async def until_all_is_done(database: asyncpg.Connection) -> None:
    """Wait for the end of all tasks; what would be tried again in a while is tried again at once."""
    async with asyncio.timeout(90):
        while await database.fetchval("select exists (select from public.queue where not dead)"):
            await database.execute("update public.queue set run_at = now() where worker_id is null and run_at > now()")
            await asyncio.sleep(0.05)


async def test_nobody_gets_two_mails_and_whoever_gets_none_has_a_delivery_in_doubt(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection
) -> None:
    clock, moods, box = Clock(database), Moods(), Postbox()
    await clock.install()
    try:
        await save(client, copy(**ARXIV, title="Ice remembers"))
        await clock.set("2026-11-24T06:00:00Z")
        for number in range(READERS):
            await add_reader(client, address=f"r{number}@example.org")
        await clock.set("2026-11-24T07:00:00Z")
        await Schedule(client).enqueue_due()
        box.steps["DATA"] = moods
        async with box.serve():
            await mailed_with_kills(stack, database, box, moods)
    finally:
        await clock.remove()
    got = Counter(email.message_from_bytes(content)["Message-ID"][19:55] for content in box.taken)
    states = dict(await database.fetch("select reader_id::text, state from public.deliveries"))
    assert len(states) == READERS
    assert set(got.values()) == {1}
    assert {states[reader] for reader in states.keys() - got.keys()} <= {"ambiguous"}
    doubts = list(states.values()).count("ambiguous")
    assert moods.breaks <= doubts <= moods.breaks + KILLS
    assert moods.breaks > 0


async def mailed_with_kills(stack: Ready, database: asyncpg.Connection, box: Postbox, moods: Moods) -> None:
    workers = [mailing_worker(stack, box) for _ in range(2)]
    await asyncio.gather(*(worker.start(STARTED) for worker in workers))
    ending = asyncio.create_task(until_all_is_done(database))
    for kill in range(KILLS):
        await moods.slow.acquire()
        await workers[kill % 2].stop(signal.SIGKILL)
        workers[kill % 2] = mailing_worker(stack, box)
        await workers[kill % 2].start(STARTED)
    await ending
    assert [await worker.stop() for worker in workers] == [0, 0]
