"""Applies SQL files in order, each once and in a transaction of its own; remembers them where the Supabase CLI does.

`make migrate DATABASE_URL=postgresql://...` runs it for any database, also through a pooler in transaction mode; the
emulator uses it at every start.
"""

import asyncio
import hashlib
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from scripts.migration_lock import WAITS, MigrationError, Waits, migrating

__all__ = ["MIGRATIONS", "ROOT", "Migration", "MigrationError", "apply", "migrate", "read_migrations"]

ROOT = Path(__file__).resolve().parents[1]
MIGRATIONS = ROOT / "supabase" / "migrations"
FILE_NAME = re.compile(r"(?P<version>\d{14})_(?P<name>\w+)\.sql")

HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
    version text primary key, statements text[], name text
);
"""
"""The layout of the Supabase CLI, so that `supabase db push` and this agree on what has been applied."""


@dataclass(frozen=True)
class Migration:
    """One file: its version (a time), its name, and its SQL."""

    version: str
    name: str
    sql: str


def read_migrations(folder: Path) -> list[Migration]:
    """Read the files of a folder in order. Raises `MigrationError` for a name that is none, or used twice."""
    found = []
    for file in sorted(folder.glob("*.sql")):
        match = FILE_NAME.fullmatch(file.name)
        if match is None:
            raise MigrationError(f"{file.name} is not named YYYYMMDDHHMMSS_name.sql: rename it")
        found.append(Migration(match["version"], match["name"], file.read_text(encoding="utf-8")))
    if len({migration.version for migration in found}) != len(found):
        raise MigrationError(f"two migrations in {folder} have the same version")
    return found


async def migrate(connection: Any, folder: Path, waits: Waits = WAITS) -> list[Migration]:
    """Apply what is new and return it; see `migrations_applied`."""
    return [migration async for migration in migrations_applied(connection, folder, waits)]


async def migrations_applied(connection: Any, folder: Path, waits: Waits = WAITS) -> AsyncIterator[Migration]:
    """Apply what is new, and yield each migration when it is applied.

    `connection` is an asyncpg connection that may create schemas. Several runs may be made at once: each file is
    applied by one of them. Raises `MigrationError` if a file has changed since it was applied, does not run, or has to
    wait for too long.
    """
    migrations = read_migrations(folder)
    async with migrating(connection, waits):
        await _require_writable(connection)
        await connection.execute(HISTORY)
        rows = await connection.fetch("select version, statements from supabase_migrations.schema_migrations")
    applied = {row["version"]: row["statements"] for row in rows}
    for migration in migrations:
        _require_unchanged(migration, applied)
    for migration in migrations:
        if migration.version not in applied and await _apply(connection, migration, waits):
            yield migration


async def _require_writable(connection: Any) -> None:
    if await connection.fetchval("show transaction_read_only") == "on":
        raise MigrationError("DATABASE_URL leads to a read-only server, such as a replica: use the primary's address.")


def _require_unchanged(migration: Migration, applied: dict[str, list[str] | None]) -> None:
    statements = applied.get(migration.version)
    # The CLI keeps a file as single statements; what they say is compared, not where they were cut.
    if statements and _essence(migration.sql) != _essence(";".join(statements)):
        raise MigrationError(
            f"migration {migration.version}_{migration.name} has changed since it was applied: "
            "put it back as it was, and write what is new into a new file"
        )


def _essence(sql: str) -> str:
    return hashlib.sha256(re.sub(r"[\s;]+", "", sql).encode()).hexdigest()


async def _apply(connection: Any, migration: Migration, waits: Waits) -> bool:
    """Apply a migration; False if another process has applied it since the list was read."""
    try:
        async with migrating(connection, waits):
            applied = await connection.fetch(
                "select version, statements from supabase_migrations.schema_migrations where version = $1",
                migration.version,
            )
            if applied:
                _require_unchanged(migration, {row["version"]: row["statements"] for row in applied})
                return False
            await connection.execute(migration.sql)
            if not connection.is_in_transaction():
                raise MigrationError("it ends its own transaction: remove `commit` or `rollback` from the file")
            await connection.execute(
                "insert into supabase_migrations.schema_migrations (version, name, statements) values ($1, $2, $3)",
                migration.version,
                migration.name,
                [migration.sql],
            )
    except Exception as error:
        raise MigrationError(f"migration {migration.version}_{migration.name} failed: {error}{_hint(error)}") from error
    return True


def _hint(error: Exception) -> str:
    if isinstance(error, asyncpg.ActiveSQLTransactionError):
        return ". Each file runs in one transaction: docs/OPERATIONS.md says how to build an index concurrently"
    return ""


async def apply(database_url: str, folder: Path) -> None:
    """Apply what is new to the database at this address, and print each migration that was applied."""
    # No named statements: a pooler in transaction mode would leave them in a session that other clients get.
    connection = await asyncpg.connect(database_url, statement_cache_size=0)
    applied = 0
    try:
        async for migration in migrations_applied(connection, folder):
            print(f"applied {migration.version}_{migration.name}", flush=True)
            applied += 1
    finally:
        await connection.close()
    print(f"{applied} applied; the schema is up to date")


def main() -> int:
    """Bring the database of `DATABASE_URL` up to date; 1 with the reason on standard error if that cannot be."""
    database_url = os.environ.get("DATABASE_URL", "")
    if not database_url:
        print(
            "Say which database: make migrate DATABASE_URL=postgresql://user:password@host:port/name", file=sys.stderr
        )
        return 2
    try:
        asyncio.run(apply(database_url, MIGRATIONS))
    except MigrationError as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        said = str(error) or "it does not answer"
        print(f"migrate: DATABASE_URL leads to no database that can be changed: {said}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
