"""The transaction of a migration: one at a time, with limited waits, and a report of the sessions that block it.

All settings and locks end with the transaction. A pooler in transaction mode gives each transaction another session,
so a session's setting or lock would remain in one of the pooler's connections.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

LOCK = "select pg_advisory_xact_lock(hashtext('supabase_migrations'))"

USE_INSTEAD = (
    "Use the direct connection, or a pooler in session or transaction mode: on Supabase, port 5432 of "
    "db.<project>.supabase.co, or port 5432 (session) or 6543 (transaction) of the project's pooler"
)

HOLDERS = """
select a.pid, a.usename, a.application_name, a.state, coalesce(a.xact_start, a.state_change) as since,
       left(a.query, 100) as query
  from pg_catalog.pg_stat_activity a
 where a.pid <> pg_backend_pid() and exists (
    select from pg_catalog.pg_locks l
     where l.pid = a.pid and l.granted
       and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
       and case when $1 then a.xact_start < clock_timestamp() - make_interval(secs => $2) and l.relation in (
                    select c.oid from pg_catalog.pg_class c where c.relnamespace = 'public'::regnamespace)
                else l.locktype = 'advisory' and l.objsubid = 1
                     and (l.classid::bigint << 32 | l.objid::bigint) = hashtext('supabase_migrations') end)
 order by since limit 5
"""
"""Sessions that hold the migration lock, or with $1 those that have held a lock on a table for $2 seconds."""


class MigrationError(Exception):
    """A migration cannot be applied, or an applied one has changed."""


@dataclass(frozen=True)
class Waits:
    """Seconds to wait for another migration, and for each lock that a migration's statements need.

    `table` is short, because all later queries of a table wait while a statement waits for that table.
    """

    migration: float = 30.0
    table: float = 5.0


WAITS = Waits()


@asynccontextmanager
async def migrating(connection: Any, waits: Waits) -> AsyncIterator[None]:
    """Run the body in a transaction that holds the migration lock.

    Raises `MigrationError` if the wait is too long, or if the connection does not support transactions.
    """
    locked = False
    try:
        async with _transaction(connection):
            await _lock(connection, waits)
            locked = True
            yield
    except asyncpg.LockNotAvailableError as error:
        raise MigrationError(await _blocked(connection, waits, by_tables=locked)) from error


@asynccontextmanager
async def _transaction(connection: Any) -> AsyncIterator[None]:
    transaction = connection.transaction()
    try:
        await transaction.start()
    except asyncpg.PostgresConnectionError as error:
        if "pooling mode" not in str(error):
            raise
        raise MigrationError(
            f"DATABASE_URL leads to a pooler without transactions ({error}). {USE_INSTEAD}."
        ) from error
    try:
        yield
    except BaseException:
        if not connection.is_closed():
            await transaction.rollback()
        raise
    await transaction.commit()


async def _lock(connection: Any, waits: Waits) -> None:
    await connection.execute(
        "set local application_name = 'broadsheet migrate'; set local statement_timeout = 0; "
        f"set local lock_timeout = {round(waits.migration * 1000)}"
    )
    session = await connection.fetchval("select pg_backend_pid()")
    await connection.execute(LOCK)
    if await connection.fetchval("select pg_backend_pid()") != session:
        raise MigrationError(
            f"DATABASE_URL leads to a pooler that splits a transaction between sessions. {USE_INSTEAD}."
        )
    await connection.execute(f"set local lock_timeout = {round(waits.table * 1000)}")


async def _blocked(connection: Any, waits: Waits, *, by_tables: bool) -> str:
    seconds = waits.table if by_tables else waits.migration
    async with connection.transaction():
        rows = await connection.fetch(HOLDERS, by_tables, seconds)
    cause = "a table that it changes is in use" if by_tables else "another migration holds the lock"
    sessions = "".join(map(_session, rows)) or "  (no session any more)\n"
    return (
        f"{cause}, also after {seconds:g} s:\n{sessions}"
        "Wait until it has ended, or end it with `select pg_terminate_backend(pid)`, and run this again."
    )


def _session(row: Any) -> str:
    return (
        f"  pid {row['pid']}: {row['usename']}, application {row['application_name']!r}, {row['state']} since "
        f"{row['since']:%Y-%m-%d %H:%M:%S %Z}, query {row['query']!r}\n"
    )
