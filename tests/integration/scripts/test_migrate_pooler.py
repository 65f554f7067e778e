"""`make migrate` through a real PgBouncer: two runs at once under traffic, and an unusable pooler."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from scripts.migrate import MIGRATIONS, ROOT, apply
from tests.support.pgbouncer import connected, needs_pgbouncer, pgbouncer

pytestmark = needs_pgbouncer

LEFT_BEHIND = """
select (select count(*) from pg_prepared_statements)
       + (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())
       + (current_setting('lock_timeout') <> '0')::int + (current_setting('statement_timeout') <> '0')::int
       + (current_setting('application_name') like '%migrate%')::int
"""
"""Session state that a migration could leave in the pooler's session."""


async def migrate(database_url: str) -> tuple[int | None, list[str], str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scripts.migrate", cwd=ROOT, env={**os.environ, "DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    return process.returncode, out.decode().splitlines(), errors.decode()


@asynccontextmanager
async def traffic(pooler: str, clients: int = 6) -> AsyncIterator[list[int]]:
    """Transactions of other clients of the pooler in sequence; yields what each finds in its session."""
    found: list[int] = []

    async def client() -> None:
        connection = await connected(pooler)
        try:
            while True:
                async with connection.transaction():
                    await connection.execute("insert into public.traffic values (1)")
                    found.append(await connection.fetchval(LEFT_BEHIND))
        finally:
            connection.terminate()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client()) for _ in range(clients)]
        yield found
        for task in tasks:
            task.cancel()


async def test_two_migrations_at_once_under_traffic(empty: str, stack_folder: Path) -> None:
    direct = await asyncpg.connect(empty)
    await direct.execute("create table public.traffic (n integer)")
    with pgbouncer(empty, stack_folder, "transaction") as pooler:
        await (await connected(pooler)).close()  # it listens
        async with traffic(pooler) as found:
            runs = await asyncio.gather(migrate(pooler), migrate(pooler))
            again = await migrate(pooler)
    assert [(status, errors) for status, _, errors in runs] == [(0, ""), (0, "")]
    applied = [line for _, lines, _ in runs for line in lines if line.startswith("applied ")]
    assert sorted(applied) == [f"applied {file.stem}" for file in sorted(MIGRATIONS.glob("*.sql"))]
    assert again == (0, ["0 applied; the schema is up to date"], "")
    assert len(found) > len(applied)
    assert set(found) == {0}
    assert await direct.fetchval("select count(*) from pg_locks where locktype = 'advisory'") == 0
    await direct.close()


async def test_a_pooler_in_statement_mode_is_refused(empty: str, stack_folder: Path) -> None:
    with pgbouncer(empty, stack_folder, "statement") as pooler:
        await (await connected(pooler)).close()
        status, lines, errors = await migrate(pooler)
    assert (status, lines) == (1, [])
    assert errors.startswith("migrate: DATABASE_URL leads to a pooler without transactions (")
    assert "port 5432 of db.<project>.supabase.co" in errors
    connection = await asyncpg.connect(empty)
    assert await connection.fetchval("select to_regnamespace('supabase_migrations')") is None
    await connection.close()


async def test_a_table_under_traffic_is_changed_once(
    empty: str, stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"2026010{day}000000_c{day}" for day in range(1, 10)]
    for name in names:
        sql = f"alter table public.traffic add column {name[-2:]} integer;"
        (tmp_path / f"{name}.sql").write_text(sql, encoding="utf-8")
    direct = await asyncpg.connect(empty)
    await direct.execute("create table public.traffic (n integer)")
    with pgbouncer(empty, stack_folder, "transaction") as pooler:
        await (await connected(pooler)).close()  # it listens
        async with traffic(pooler) as found:
            await asyncio.gather(apply(pooler, tmp_path), apply(pooler, tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line for line in lines if line.startswith("applied ")) == [f"applied {name}" for name in names]
    assert set(found) == {0}
    assert len(await direct.fetchrow("select * from public.traffic limit 1") or ()) == 1 + len(names)
    await direct.close()


async def test_a_pooler_in_session_mode_works(empty: str, stack_folder: Path) -> None:
    with pgbouncer(empty, stack_folder, "session") as pooler:
        await (await connected(pooler)).close()
        status, lines, errors = await migrate(pooler)
        assert (status, lines[-1], errors) == (0, f"{len(lines) - 1} applied; the schema is up to date", "")
        assert await migrate(pooler) == (0, ["0 applied; the schema is up to date"], "")
