"""Many readers are due at once, and workers are killed while they send. The server counts the resulting mails."""

import asyncio
import email
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
from supabase import AsyncClient

from app.persistence.schedule import Schedule
from embedded.stack import Ready
from tests.support.flaky_server import ANSWERS, DOUBTS, REFUSALS, TAKEN, Fate, FlakyServer
from tests.support.items import ARXIV, copy, save
from tests.support.processes import ServiceProcess, worker_process
from tests.support.reader_mails import read_day
from tests.support.schedule import Clock

SENDERS = ("one@broadsheet.example", "two@broadsheet.example")
"""Each worker sends from its own address, by which the server identifies it."""
THINKS = 0.05
LOST = "its sender was lost while sending"
READERS = """
insert into public.readers (name, email, timezone, send_at)
select 'Reader ' || n, 'r' || n || '@example.org', 'Europe/Berlin', '08:00' from generate_series(1, $1) n
"""
DELIVERIES = """
select d.reader_id, r.email, r.status as reader_status, d.status, d.reason
  from public.readers r left join public.deliveries d using (reader_id)
"""
CLAIMED = """
select d.reader_id from public.deliveries d join public.queue q using (task_id) where q.worker_id = $1
"""


@dataclass(frozen=True)
class Storm:
    """The size of the test. `lease` and `patience` (the limit for the whole test) are in seconds."""

    readers: int
    kills: int
    seed: int
    weights: Mapping[Fate, float]
    connections: int = 1
    lease: float = 3.0
    patience: float = 120.0


@dataclass
class Account:
    """The status of each reader's mail in the service, compared with what the server did."""

    storm: Storm
    happened: Mapping[str, list[Fate]]
    taken: Counter[str]
    """By reader, from the Message-IDs."""
    rows: list[asyncpg.Record] = field(default_factory=list)
    running_tasks: set[UUID] = field(default_factory=set)
    """The readers whose mails a worker was sending when it was killed."""
    seconds: float = 0.0

    def faults(self) -> list[str]:
        """Return all violations."""
        found = [f"{row['email']}: {fault}" for row in self.rows for fault in self._of(row)]
        lost = sum(row["reason"] == LOST for row in self.rows)
        if lost > self.storm.kills * self.storm.connections:
            found.append(f"{lost} doubts by {self.storm.kills} kills of {self.storm.connections} mails at once")
        if len(self.rows) != self.storm.readers:
            found.append(f"{len(self.rows)} deliveries of {self.storm.readers} readers")
        return found

    def _of(self, row: asyncpg.Record) -> Iterator[str]:
        fates = self.happened.get(row["email"], [])
        last = fates[-1] if fates else None
        taken, state, reason = self.taken[str(row["reader_id"])], row["status"], row["reason"]
        lost = state == "in_doubt" and reason == LOST
        failed_unknown = state == "failed" and last is Fate.UNKNOWN
        holds = {
            "at most one mail": taken <= 1 and taken == sum(fate in TAKEN for fate in fates),
            "a final status": state in {"sent", "failed", "in_doubt"},
            "sent means accepted": lost or (state == "sent") == (last is Fate.TAKEN),
            "failed means refused permanently": lost or (state == "failed") == (last in REFUSALS),
            "with a reason": state != "failed" or (last in REFUSALS and ANSWERS[last] in reason),
            "an unknown address gets no more mails": (row["reader_status"] == "bounced") == failed_unknown,
            "nothing after the end": not set(fates[:-1]) & (DOUBTS | REFUSALS | {Fate.TAKEN}),
            "a doubt is reported": last not in DOUBTS or state == "in_doubt",
            "a doubt has a cause": state != "in_doubt" or lost or last in DOUBTS | {Fate.BREAK_IN_CONTENT},
            "lost by a kill": not lost or row["reader_id"] in self.running_tasks,
        }
        for what, does in holds.items():
            if not does:
                yield f"{what}: the service says {state} ({reason}), the server {', '.join(fates) or 'nothing'}"

    def table(self) -> list[list[str]]:
        """Count the final statuses by the last action of the server."""
        ends = Counter((self.happened.get(row["email"], [None])[-1], row["status"]) for row in self.rows)
        lasts = sorted({last for last, _ in ends}, key=lambda last: list(Fate).index(last) if last else -1)
        states = ("sent", "failed", "in_doubt")
        return [[last or "heard nothing of it", *(str(ends[last, state]) for state in states)] for last in lasts]


async def weather(storm: Storm, stack: Ready, client: AsyncClient, database: asyncpg.Connection) -> Account:
    """Run it on an empty database until every task has ended."""
    chance, began = random.Random(storm.seed), time.monotonic()
    server = FlakyServer(chance, storm.weights, thinks=THINKS)
    clock = Clock(database)
    try:
        await save(client, copy(**ARXIV, title="Ice remembers"))
        await read_day(client, date(2026, 11, 23))
        await clock.set("2026-11-24T06:00:00Z")
        await database.execute(READERS, storm.readers)
        await clock.set("2026-11-24T07:00:00Z")
        await Schedule(client).enqueue_due()
        async with server.serve(), asyncio.timeout(storm.patience):
            running_tasks = await _with_kills(storm, stack, database, server, chance)
    finally:
        await clock.remove()
    taken = Counter(str(email.message_from_bytes(content)["Message-ID"])[19:55] for content in server.taken)
    rows = await database.fetch(DELIVERIES)
    return Account(storm, server.happened, taken, rows, running_tasks, time.monotonic() - began)


async def _with_kills(
    storm: Storm, stack: Ready, database: asyncpg.Connection, server: FlakyServer, chance: random.Random
) -> set[UUID]:
    """Kill sending workers at random moments, every second time after the final dot; return what they were sending."""
    running_tasks = set[UUID]()
    workers = {sender: _worker(storm, stack, server, sender) for sender in SENDERS}
    names = dict(zip(SENDERS, await asyncio.gather(*map(_start, workers.values())), strict=True))
    ending = asyncio.create_task(_until_all_is_done(stack))
    for kill, moment in enumerate(sorted(chance.sample(range(storm.readers), storm.kills))):
        sending = asyncio.create_task(_who_sends(server, moment, chance.uniform(0, THINKS), at_dot=kill % 2 > 0))
        await asyncio.wait({sending, ending}, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            sending.cancel()
            break
        sender = await sending
        await workers[sender].stop(signal.SIGKILL)
        # Before another worker reclaims its tasks, which takes a lease.
        running_tasks |= {row["reader_id"] for row in await database.fetch(CLAIMED, names[sender])}
        workers[sender] = _worker(storm, stack, server, sender)
        names[sender] = await _start(workers[sender])
    await ending
    assert [await worker.stop() for worker in workers.values()] == [0, 0]
    return running_tasks


async def _who_sends(server: FlakyServer, moment: int, later: float, *, at_dot: bool) -> str:
    sender = await server.until_attempt(moment)
    if at_dot:
        return await server.until_dot()
    await asyncio.sleep(later)
    return sender


async def _start(worker: ServiceProcess) -> UUID:
    return UUID((await worker.start("worker started"))["worker_id"])


async def _until_all_is_done(stack: Ready) -> None:
    """Wait for the end of all tasks; delayed tasks become ready at once."""
    database = await asyncpg.connect(stack.database_url)
    try:
        while await database.fetchval("select exists (select from public.queue where not dead_letter)"):
            await database.execute("update public.queue set run_at = now() where worker_id is null and run_at > now()")
            await asyncio.sleep(0.1)
    finally:
        await database.close()


def _worker(storm: Storm, stack: Ready, server: FlakyServer, sender: str) -> ServiceProcess:
    settings: dict[str, Any] = {
        "MAIL_URL": f"smtp://127.0.0.1:{server.port}",
        "MAIL_FROM": f"Broadsheet <{sender}>",
        "MAIL_CONNECTIONS": str(storm.connections),
        "MAIL_RATE": "1000",
        "PUBLIC_URL": "https://digest.example",
        "LINK_SECRET": "0123456789abcdef",
        "LEASE_SECONDS": str(storm.lease),
        "SUPABASE_CALL_TIMEOUT": str(storm.lease / 3),
    }
    return worker_process(stack, **settings)
