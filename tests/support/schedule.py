"""The schedule's clock, which tests can set, readers, and the resulting tasks."""

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.outcomes import Completed
from app.persistence.readers import Reader, Readers
from app.persistence.schedule import Schedule
from tests.support.tasks import Claimer

OWNER = "default"
HOSTILE_ZONE = "Mars/Olympus_Mons"


SCHEDULE_NOW = (
    "create or replace function public.schedule_now() returns timestamptz"
    " language sql stable security invoker set search_path = '' as $$ select {} $$"
)


class Clock:
    """The schedule's clock: the database's own until a test sets it.

    The moment is in the function: a table in a separate schema would make every connection forget its plans when the
    schema is created, and again when it is dropped.
    """

    def __init__(self, database: asyncpg.Connection) -> None:
        self._database = database

    async def remove(self) -> None:
        """Show the database's own time again."""
        await self._database.execute(SCHEDULE_NOW.format("now()"))

    async def set(self, moment: str | datetime) -> None:
        at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        assert at.tzinfo is not None
        await self._database.execute(SCHEDULE_NOW.format(f"timestamptz '{at.isoformat()}'"))

    async def now(self) -> datetime:
        moment: datetime = await self._database.fetchval("select public.schedule_now()")
        return moment

    async def advance(self, step: timedelta) -> datetime:
        moment = await self.now() + step
        await self.set(moment)
        return moment


async def add_reader(client: AsyncClient, **columns: Any) -> Reader:
    """Create a reader in Berlin who gets a digest each day at eight."""
    values = {"reader_id": str(uuid4()), "name": "Ada", "timezone": "Europe/Berlin", "send_at": "08:00"}
    return await Readers(client).create(columns.pop("owner", OWNER), values | columns)


async def enqueued(client: AsyncClient, database: asyncpg.Connection) -> list[tuple[UUID, date]]:
    """Run the schedule; returns the digest tasks with their readers and days."""
    await Schedule(client).enqueue_due()
    rows = await database.fetch("select reader_id, local_day from public.tasks where kind = 'digest' order by 2, 1")
    return [(row["reader_id"], row["local_day"]) for row in rows]


def written(*titles: str) -> Mapping[str, Any]:
    """A digest with this many papers, as a handler returns it."""
    keys = [f"title:{title.lower()}" for title in titles]
    return {"papers": [{"title": title} for title in titles], "news": [], "keys": keys}


async def write_digests(client: AsyncClient, *titles: str) -> int:
    """Complete all waiting digest tasks; returns how many."""
    worker = Claimer(client, kinds=[TaskKind.DIGEST])
    tasks = await worker.claim()
    await worker.sync({task.lease: Completed({}, written(*titles)) for task in tasks})
    return len(tasks)


async def had_digest(database: asyncpg.Connection, reader_id: UUID, at: datetime) -> None:
    """Set the time of the last digest of every reader."""
    async with database.transaction():
        await database.execute("set local session_replication_role = replica")
        await database.execute("delete from public.digests where reader_id = $1", reader_id)
        await database.execute(
            "with task as (insert into public.tasks"
            " (task_id, owner, kind, reader_id, local_day, request_hash, created_at, status, finished_at)"
            " values (gen_random_uuid(), 'default', 'digest', $1, $2, '', $3, 'completed', $3) returning task_id)"
            "insert into public.digests (task_id, owner, source_date, reader_id, local_day, digest, created_at)"
            " select task_id, 'default', $2, $1, $2, '{}', $3 from task",
            *(reader_id, at.date(), at),
        )
        await database.execute("delete from public.shown_digests where reader_id = $1", reader_id)
        await database.execute(
            "insert into public.shown_digests (reader_id, local_day, began_at, written_at) values ($1, $2, $3, $3)",
            *(reader_id, at.date(), at),
        )


async def break_zone(database: asyncpg.Connection, reader_id: UUID) -> None:
    """Set a time zone that the database no longer knows, as an update of its zones can; no check applies."""
    await database.execute("set session_replication_role = replica")
    await database.execute("update public.readers set timezone = $2 where reader_id = $1", reader_id, HOSTILE_ZONE)
    await database.execute("set session_replication_role = origin")


def payload(row: asyncpg.Record) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row["payload"])
    return found
