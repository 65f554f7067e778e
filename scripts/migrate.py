"""Applies SQL files in order, each once and in its own transaction, and records them where the Supabase CLI does.

`make migrate DATABASE_URL=postgresql://...` runs it on any database, also through a pooler in transaction mode. The
emulator runs it at every start.
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

__all__ = [
    "MIGRATIONS",
    "ROOT",
    "Migration",
    "MigrationError",
    "UnreleasedDatabase",
    "apply",
    "migrate",
    "read_migrations",
]

ROOT = Path(__file__).resolve().parents[1]
MIGRATIONS = ROOT / "supabase" / "migrations"
FILE_NAME = re.compile(r"(?P<version>\d{14})_(?P<name>\w+)\.sql")

HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
    version text primary key, statements text[], name text
);
"""
"""The layout of the Supabase CLI, so that `supabase db push` and this module agree on what has been applied."""


class UnreleasedDatabase(MigrationError):
    """The schema was created by files that were replaced before the first release; the text names one of them."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"database of an unreleased version: it has the migration {found}, which no longer exists, and its data "
            "cannot be migrated. Use a new Supabase project, or delete all data of this one with "
            "`supabase db reset --linked --no-seed`"
        )


@dataclass(frozen=True)
class Migration:
    """One file: its version (a time), its name and its SQL."""

    version: str
    name: str
    sql: str


def read_migrations(folder: Path) -> list[Migration]:
    """Read the files of a folder in order. Raises `MigrationError` for an invalid name or a repeated version."""
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
    """Apply the new migrations and return them; see `migrations_applied`."""
    return [migration async for migration in migrations_applied(connection, folder, waits)]


async def migrations_applied(connection: Any, folder: Path, waits: Waits = WAITS) -> AsyncIterator[Migration]:
    """Apply the new migrations, and yield each one after it was applied.

    `connection` is an asyncpg connection that may create schemas. Runs may overlap: one of them applies each file.
    Raises `UnreleasedDatabase`, and `MigrationError` if a file has changed since it was applied, fails, or waits for
    too long.
    """
    migrations = read_migrations(folder)
    async with migrating(connection, waits):
        await _require_writable(connection)
        await connection.execute(HISTORY)
        rows = await connection.fetch("select version, name, statements from supabase_migrations.schema_migrations")
    _require_released(migrations, {row["version"]: row["name"] for row in rows})
    applied = {row["version"]: row["statements"] for row in rows}
    for migration in migrations:
        _require_unchanged(migration, applied)
    for migration in migrations:
        if migration.version not in applied and await _apply(connection, migration, waits):
            yield migration


async def _require_writable(connection: Any) -> None:
    if await connection.fetchval("show transaction_read_only") == "on":
        raise MigrationError("DATABASE_URL is the address of a read-only server, such as a replica: use the primary's")


def _require_released(migrations: list[Migration], applied: dict[str, str | None]) -> None:
    """Raise `UnreleasedDatabase` for an applied migration that is older than all files.

    A newer one is not an error: after a rollback, older code meets the schema of newer code.
    """
    first = min((migration.version for migration in migrations), default="")
    replaced = sorted(version for version in applied if version < first)
    if replaced:
        raise UnreleasedDatabase(f"{replaced[0]}_{applied[replaced[0]]}")


def _require_unchanged(migration: Migration, applied: dict[str, list[str] | None]) -> None:
    statements = applied.get(migration.version)
    # The CLI stores a file as separate statements, so the text is compared without white space and semicolons.
    if statements and _essence(migration.sql) != _essence(";".join(statements)):
        raise MigrationError(
            f"migration {migration.version}_{migration.name} has changed since it was applied: "
            "restore the file, and write the change into a new file"
        )


def _essence(sql: str) -> str:
    return hashlib.sha256(re.sub(r"[\s;]+", "", sql).encode()).hexdigest()


async def _apply(connection: Any, migration: Migration, waits: Waits) -> bool:
    """Apply a migration. Return False if another process has applied it since the list was read."""
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
        return ". Each file runs in one transaction: docs/OPERATIONS.md shows how to build an index concurrently"
    return ""


async def apply(database_url: str, folder: Path) -> None:
    """Apply the new migrations to the database at this address, and print each one."""
    # No named statements: a pooler in transaction mode would leave them in a session that another client gets.
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
    """Bring the database of `DATABASE_URL` up to date; return 1, with the reason on standard error, if that fails."""
    database_url = os.environ.get("DATABASE_URL", "")
    if not database_url:
        print(
            "DATABASE_URL is not set: make migrate DATABASE_URL=postgresql://user:password@host:port/name",
            file=sys.stderr,
        )
        return 2
    try:
        asyncio.run(apply(database_url, MIGRATIONS))
    except MigrationError as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = str(error) or "it does not respond"
        print(f"migrate: cannot change the database at DATABASE_URL: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
