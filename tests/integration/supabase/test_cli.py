"""The Supabase CLI itself, on a new project's database: migrations, the seed and the advisors."""

import json
import shutil
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from scripts.migrate import MIGRATIONS, ROOT
from tests.support.migrate import migrate
from tests.support.supabase_cli import SupabaseCli, supabase_cli

EXPECTED_NOTES = {"rls_enabled_no_policy", "unused_index"}
"""Advice that holds by design: only the server reads most tables, and no index of a new database was used."""


@pytest.fixture
def cli(empty: str, tmp_path: Path) -> SupabaseCli:
    program = supabase_cli()
    if program is None:
        pytest.skip("the Supabase CLI is not installed: npm ci")
    # A copy, because the CLI writes into the folder.
    shutil.copytree(ROOT / "supabase", tmp_path / "project" / "supabase")
    (tmp_path / "home").mkdir()
    return SupabaseCli(program, tmp_path / "project", tmp_path / "home", empty)


async def as_project(database_url: str) -> asyncpg.Connection:
    """Make the database like a project's, in which advisors know the API's schemas and there is no emulator."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("drop schema embedded cascade")
    name = await connection.fetchval("select current_database()")
    await connection.execute(f"alter database {name} set pgrst.db_schemas = 'public'")
    return connection


def found(cli: SupabaseCli, level: str) -> tuple[int, list[dict[str, Any]]]:
    """Whether advisors failed at this level, and what they found."""
    done = cli.run("db", "advisors", "--level", level, "--fail-on", level)
    start = done.stdout.find("[")
    return done.returncode, json.loads(done.stdout[start:]) if start >= 0 else []


async def test_push_applies_the_migrations_once(cli: SupabaseCli, empty: str) -> None:
    files = sorted(file.name for file in MIGRATIONS.glob("*.sql"))
    first = cli.run("db", "push", "--yes")
    assert first.returncode == 0, first.stderr
    output = first.stdout + first.stderr
    assert [name for name in files if f"Applying migration {name}" not in output] == []
    again = cli.run("db", "push", "--yes")
    assert (again.returncode, "up to date" in again.stdout + again.stderr) == (0, True)
    assert migrate(empty).stdout == "0 applied; the schema is up to date\n"


async def test_the_cli_lists_what_migrate_applied(cli: SupabaseCli, empty: str) -> None:
    assert migrate(empty).returncode == 0
    pushed, listed = cli.run("db", "push", "--yes"), cli.run("migration", "list")
    assert (pushed.returncode, "up to date" in pushed.stdout + pushed.stderr) == (0, True)
    assert listed.returncode == 0, listed.stderr
    for version in (file.name.partition("_")[0] for file in MIGRATIONS.glob("*.sql")):
        (line,) = [line for line in listed.stdout.splitlines() if version in line]
        assert line.count(version) == 2, "known here and there"


async def test_push_seeds_only_when_asked(cli: SupabaseCli, empty: str) -> None:
    database = await asyncpg.connect(empty)
    count = "select (select count(*) from public.readers) || ' ' || (select count(*) from public.articles)"
    assert cli.run("db", "push", "--yes").returncode == 0
    assert await database.fetchval(count) == "0 0"
    for _ in range(2):
        done = cli.run("db", "push", "--yes", "--include-seed")
        assert done.returncode == 0, done.stderr
        assert await database.fetchval(count) == "2 7"
    await database.close()


async def test_advisors_find_nothing_but_an_injected_table(cli: SupabaseCli, empty: str) -> None:
    assert migrate(empty).returncode == 0
    database = await as_project(empty)
    assert found(cli, "warn") == (0, [])
    assert {advice["name"] for advice in found(cli, "info")[1]} == EXPECTED_NOTES
    # A table that nobody can read is no finding; projects with automatic grants give anon this right.
    await database.execute("create table public.injected (n int); grant select on public.injected to anon")
    status, advice = found(cli, "warn")
    assert status != 0
    assert [(one["name"], one["level"], one["metadata"]["name"]) for one in advice] == [
        ("rls_disabled_in_public", "ERROR", "injected")
    ]
    await database.close()
