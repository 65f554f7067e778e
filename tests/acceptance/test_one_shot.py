"""`python -m worker --once` as processes: started several times at once and killed, each reader gets one mail."""

import asyncio
import email
import random
import signal
from collections import Counter
from uuid import UUID

import asyncpg

from app.days import yesterday
from embedded.sample.server import serve_sample
from embedded.stack import Ready
from tests.support.flaky_server import Fate, FlakyServer
from tests.support.processes import SHORT_LEASE, ServiceProcess

SENDERS = ("one@broadsheet.example", "two@broadsheet.example", "three@broadsheet.example")
"""Each process sends from its own address, by which the server knows it."""
READERS, KILLS = 50, 5
ADD_READERS = """
insert into public.readers (name, email, timezone, send_at, profile)
select 'Reader ' || n, 'r' || n || '@example.org', 'UTC',
       date_trunc('minute', now() at time zone 'UTC' + interval '20 hours')::time,
       '{"interests": ["graph neural networks"]}'
  from generate_series(1, $1) n
"""
DELIVERIES = "select reader_id, status, reason from public.deliveries"


def run_of(stack: Ready, server: FlakyServer, sender: str, sources: dict[str, str]) -> ServiceProcess:
    mail = {"MAIL_URL": f"smtp://127.0.0.1:{server.port}", "MAIL_FROM": f"Broadsheet <{sender}>", "MAIL_RATE": "1000"}
    settings = {**SHORT_LEASE, **mail, **sources, "MAIL_CONNECTIONS": "1"}
    return ServiceProcess("worker", stack.url, stack.secret_key, "--once", "--wait", "2m", **settings)


async def test_three_runs_killed_five_times_mail_each_reader_once(stack: Ready, database: asyncpg.Connection) -> None:
    chance = random.Random(7)
    server = FlakyServer(chance, {Fate.TAKEN: 1.0}, thinks=0.05)
    await database.execute(ADD_READERS, READERS)
    async with serve_sample(yesterday()) as hosts, server.serve():
        (feed, *_) = hosts.feeds
        sources = {"ARXIV_BASE_URL": hosts.arxiv_base_url, "FEEDS": f"{feed.name}={feed.url}"}
        runs = {sender: run_of(stack, server, sender, sources) for sender in SENDERS}
        await asyncio.gather(*(run.start("worker started") for run in runs.values()))
        for kill in range(KILLS):
            sender = await server.until_attempt(4 + 8 * kill)
            await runs[sender].stop(signal.SIGKILL)
            runs[sender] = run_of(stack, server, sender, sources)
            await runs[sender].start("worker started")
        statuses = await asyncio.gather(*(run.ended() for run in runs.values()))
        last = run_of(stack, server, SENDERS[0], sources)
        await last.start("worker started")
        assert await last.ended() == 0
    taken = Counter(UUID(str(email.message_from_bytes(mail)["Message-ID"])[19:55]) for mail in server.taken)
    rows = await database.fetch(DELIVERIES)
    in_doubt = {row["reader_id"] for row in rows if row["status"] == "in_doubt"}
    assert set(statuses) <= {0, 1}
    assert len(rows) == READERS
    assert {row["status"] for row in rows} <= {"sent", "in_doubt"}
    assert len(in_doubt) <= KILLS, "at most the mail that a killed process was sending"
    assert set(taken.values()) == {1}
    assert {row["reader_id"] for row in rows} - in_doubt <= taken.keys()
