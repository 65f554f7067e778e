"""The account at the end of a soak: each acknowledged thing ended once, and nothing came twice."""

import email
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import asyncpg

from tests.soak.ledger import Ledger
from tests.soak.system import API_KEY, SECRETS, SIGN_UPS, System

MARKS = ("marked-secret", SECRETS["WEBHOOK_SECRET"].partition("_")[2], API_KEY)
_TABLES = "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'public' order by 1"
_DAYS = """
select r.reader_id, r.email, t.local_day, t.status, t.error, t.result, d.status as mail, d.reason
  from public.readers r
  left join public.tasks t on t.reader_id = r.reader_id and t.kind = 'digest' and t.local_day is not null
  left join public.deliveries d on d.reader_id = r.reader_id and d.local_day = t.local_day
 order by r.email, t.local_day
"""


async def faults_of(system: System, ledger: Ledger, database: asyncpg.Connection) -> list[str]:
    """Return everything that does not hold, a line each."""
    checks = (_tasks, _callbacks, _mails, _sign_ups, _liked, _imports, _secrets)
    found = [fault for check in checks async for fault in check(system, ledger, database)]
    found += [f"nobody can explain this response: {surprise}" for surprise in ledger.surprises]
    log = system.project.log().splitlines()
    found += [f"PostgreSQL: {line}" for line in log if "deadlock detected" in line]
    return found


async def _tasks(_system: System, ledger: Ledger, database: asyncpg.Connection) -> AsyncIterator[str]:
    rows = {
        row["task_id"]: row
        for row in await database.fetch("select task_id, kind, reader_id, status, error from public.tasks")
    }
    written = set(await _column(database, "select task_id from public.digests"))
    for task, promise in ledger.tasks.items():
        row = rows.get(task)
        if row is None:
            yield f"the acknowledged task {task} is unknown"
        elif row["status"] not in {"completed", "cancelled"}:
            yield f"the {promise.kind} {task} has status {row['status']}: {row['error']}"
        elif promise.kind == "digest" and (row["status"] == "completed") != (task in written):
            yield f"the digest of {task} ({row['status']}) is {'there' if task in written else 'missing'}"
    posted = {row["task_id"] for row in rows.values() if row["kind"] == "digest" and row["reader_id"] is None}
    for task in posted - ledger.tasks.keys():
        yield f"a repeated request created {task}, which no caller knows"
    for row in await database.fetch("select task_id, kind, cause from public.queue where not dead_letter"):
        yield f"the {row['kind']} {row['task_id']} is still in the queue ({row['cause']})"


async def _callbacks(system: System, ledger: Ledger, _database: asyncpg.Connection) -> AsyncIterator[str]:
    reported = Counter[UUID]()
    for name, times in system.receiver.delivered.items():
        if times:
            reported[_task_of(system.receiver.bodies[name])] += 1
    for task, promise in ledger.tasks.items():
        if promise.callback and reported[task] != 1:
            yield f"the end of {task} was reported under {reported[task]} ids"


def _task_of(body: Any) -> UUID:
    return UUID(body["data"]["task_id"])


async def _mails(system: System, ledger: Ledger, database: asyncpg.Connection) -> AsyncIterator[str]:
    taken = Counter(map(_key_of, system.mails.taken))
    for key, times in taken.items():
        if times > 1:
            yield f"the mail {key} came {times} times"
    known = {UUID(reader["reader_id"]) for reader in ledger.readers}
    rows = [row for row in await database.fetch(_DAYS) if row["reader_id"] in known]
    for row in rows:
        arrived = taken[f"digest-{row['local_day']}-{row['reader_id']}"]
        if row["local_day"] is None:
            yield f"{row['email']} was due and has no digest"
        elif not arrived and not (row["reason"] or row["mail"] in {"failed", "in_doubt"}):
            yield f"{row['email']} got no mail, and nothing says why: {dict(row)}"
        elif row["mail"] == "sent" and not arrived:
            yield f"{row['email']} has status sent, and no mail arrived"
    for reader in known - {row["reader_id"] for row in rows}:
        yield f"the acknowledged reader {reader} is unknown"


def _key_of(content: bytes) -> str:
    return str(email.message_from_bytes(content)["Message-ID"]).strip("<>").partition("@")[0]


async def _sign_ups(system: System, ledger: Ledger, database: asyncpg.Connection) -> AsyncIterator[str]:
    known = {reader["email"] for reader in ledger.readers}
    asked = Counter(_recipient_of(mail) for mail in system.mails.taken if _key_of(mail).startswith("confirmation-"))
    for address, times in asked.items():
        if address in known or times > 1:
            yield f"{address} was asked {times} times for a confirmation; known: {address in known}"
    unconfirmed = set(await _column(database, "select email from public.readers where status = 'unconfirmed'"))
    bounced = set(await _column(database, "select email from public.readers where status = 'bounced'"))
    for address in ledger.sign_ups.keys() - known - unconfirmed - bounced:
        yield f"the sign-up of {address} was accepted, and has no reader"
    moments = sorted(ledger.sign_ups.values())
    most = max((sum(begin <= each < begin + 3600 for each in moments) for begin in moments), default=0)
    if most > SIGN_UPS:
        yield f"{most} sign-ups were accepted within an hour, {SIGN_UPS} are allowed"


def _recipient_of(content: bytes) -> str:
    return str(email.message_from_bytes(content)["To"]).rpartition("<")[2].rstrip(">")


async def _liked(_system: System, ledger: Ledger, database: asyncpg.Connection) -> AsyncIterator[str]:
    for reader, dois in ledger.liked.items():
        stored = Counter(await _column(database, "select doi from public.reader_papers where reader_id = $1", reader))
        for doi in dois:
            if stored[doi] != 1:
                yield f"the paper {doi} that {reader} liked is stored {stored[doi]} times"


async def _imports(_system: System, ledger: Ledger, database: asyncpg.Connection) -> AsyncIterator[str]:
    for task, entries in ledger.imports.items():
        report = json.loads(await database.fetchval("select result from public.tasks where task_id = $1", task) or "{}")
        counted = sum(report.get(name, 0) for name in ("accepted", "already_there", "rejected"))
        if counted != entries:
            yield f"the import {task} has {counted} of {entries} entries"
    if pieces := await database.fetchval("select count(*) from public.upload_pieces"):
        yield f"{pieces} pieces of uploads are left"


async def _secrets(system: System, _ledger: Ledger, database: asyncpg.Connection) -> AsyncIterator[str]:
    for file in sorted(system.folder.glob("*.log")):
        for fault in _marked(f"the log {file.name}", file.read_text(errors="replace")):
            yield fault
    for content in system.mails.taken:
        for fault in _marked("a mail", content.decode(errors="replace")):
            yield fault
    for table in await _column(database, _TABLES):
        pattern = "%(" + "|".join(MARKS) + ")%"
        if count := await database.fetchval(f"select count(*) from {table} t where t::text similar to $1", pattern):
            yield f"{count} rows of {table} contain a secret"


def _marked(place: str, text: str) -> Iterator[str]:
    if any(mark in text for mark in MARKS):
        yield f"{place} contains a secret"


async def _column(database: asyncpg.Connection, query: str, *arguments: object) -> list[Any]:
    return [row[0] for row in await database.fetch(query, *arguments)]
