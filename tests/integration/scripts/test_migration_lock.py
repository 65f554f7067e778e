"""A migration waits for a limited time, and names the session that it waited for."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from scripts.migrate import MigrationError, apply, migrate
from scripts.migration_lock import Waits

SHORT = Waits(migration=0.2, table=0.2)
KEPT_BY_A_SESSION = "select pg_advisory_lock(hashtext('supabase_migrations'))"
"""Earlier versions left the lock in one of the pooler's sessions."""


@pytest.fixture
async def connection(empty: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty, statement_cache_size=0)
    yield connection
    await connection.close()


@pytest.fixture
async def other(empty: str) -> AsyncIterator[asyncpg.Connection]:
    """Another session with this application name."""
    other = await asyncpg.connect(empty, server_settings={"application_name": "a pooler"})
    yield other
    await other.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "20260101000000_a.sql").write_text("create table public.a (id integer);", encoding="utf-8")
    return tmp_path


async def test_the_session_that_holds_the_lock_is_named(
    connection: asyncpg.Connection, other: asyncpg.Connection, folder: Path
) -> None:
    await other.execute(KEPT_BY_A_SESSION)
    with pytest.raises(MigrationError) as refused:
        await migrate(connection, folder, SHORT)
    message = str(refused.value)
    assert message.startswith("another migration holds the lock, also after 0.2 s:\n")
    assert f"pid {other.get_server_pid()}: postgres, application 'a pooler', idle since " in message
    assert message.endswith("end it with `select pg_terminate_backend(pid)`, and run this again.")
    await other.execute("select pg_advisory_unlock_all()")
    assert [each.name for each in await migrate(connection, folder, SHORT)] == ["a"]


async def test_the_session_that_uses_the_table_is_named(
    connection: asyncpg.Connection, other: asyncpg.Connection, folder: Path
) -> None:
    await migrate(connection, folder)
    (folder / "20260102000000_b.sql").write_text("create table public.b (id integer);", encoding="utf-8")
    (folder / "20260103000000_c.sql").write_text("alter table public.a add column n integer;", encoding="utf-8")
    async with other.transaction():
        await other.execute("select from public.a")
        with pytest.raises(
            MigrationError, match="20260103000000_c failed: a table that it changes is in use"
        ) as refused:
            await migrate(connection, folder, SHORT)
    assert f"pid {other.get_server_pid()}: postgres, application 'a pooler', idle in transaction" in str(refused.value)
    assert "select from public.a" in str(refused.value)
    assert [each.name for each in await migrate(connection, folder, SHORT)] == ["c"]


SETTINGS = "current_setting('lock_timeout'), current_setting('statement_timeout'), current_setting('application_name')"


@pytest.mark.parametrize(
    ("waits", "for_a_table"), [((), "5s"), ((Waits(migration=60.0, table=2.5),), "2500ms")], ids=["default", "given"]
)
async def test_a_file_waits_for_tables_as_long_as_stated(
    connection: asyncpg.Connection, folder: Path, waits: tuple[Waits, ...], for_a_table: str
) -> None:
    """All requests for a table wait behind a migration that waits for it: not as long as for another migration."""
    before = await connection.fetchrow(f"select {SETTINGS}")
    (folder / "20260102000000_b.sql").write_text(
        f"create table public.seen as select array[{SETTINGS}] as settings;", encoding="utf-8"
    )
    assert len(await migrate(connection, folder, *waits)) == 2
    assert await connection.fetchval("select settings from public.seen") == [for_a_table, "0", "broadsheet migrate"]
    assert await connection.fetchrow(f"select {SETTINGS}") == before


async def test_a_file_that_another_run_applied_is_skipped(
    connection: asyncpg.Connection, other: asyncpg.Connection, folder: Path
) -> None:
    """Both runs read the list before either applies one; this run's first file makes the other apply the second."""
    record = "insert into supabase_migrations.schema_migrations (version, name) values ('20260102000000', 'b')"
    (folder / "20260101000001_other_run.sql").write_text(record, encoding="utf-8")
    (folder / "20260102000000_b.sql").write_text("create table public.b (id integer);", encoding="utf-8")
    assert [each.name for each in await migrate(connection, folder)] == ["a", "other_run"]
    assert await other.fetchval("select to_regclass('public.b')") is None


async def test_an_index_cannot_be_built_concurrently(connection: asyncpg.Connection, folder: Path) -> None:
    (folder / "20260102000000_b.sql").write_text("create index concurrently on public.a (id);", encoding="utf-8")
    with pytest.raises(MigrationError, match=r"OPERATIONS\.md shows how to build an index concurrently"):
        await migrate(connection, folder)
    assert [each.name for each in await migrate(connection, folder_without(folder, "b"))] == []


async def test_migrations_applied_before_a_failure_are_printed(
    empty: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "20260102000000_b.sql").write_text("alter table public.missing add column n integer;", encoding="utf-8")
    with pytest.raises(MigrationError, match="20260102000000_b failed"):
        await apply(empty, folder)
    assert capsys.readouterr().out == "applied 20260101000000_a\n"


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_a_file_cannot_end_its_transaction(end: str, connection: asyncpg.Connection, folder: Path) -> None:
    (folder / "20260102000000_b.sql").write_text(f"create table public.b (id integer); {end};", encoding="utf-8")
    with pytest.raises(MigrationError, match="20260102000000_b failed: it ends its own transaction"):
        await migrate(connection, folder)


async def test_a_read_only_server_is_refused(connection: asyncpg.Connection, folder: Path) -> None:
    await connection.execute("set default_transaction_read_only = on")
    with pytest.raises(MigrationError, match="read-only server"):
        await migrate(connection, folder)


def folder_without(folder: Path, name: str) -> Path:
    next(folder.glob(f"*_{name}.sql")).unlink()
    return folder
