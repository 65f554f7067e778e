"""A database made by migrations that were replaced before the first release is refused, and kept."""

import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from embedded.stack import Stack, StackOptions
from scripts.migrate import MIGRATIONS, ROOT, MigrationError
from tests.support.migrate import migrate

OLD = "20261124000100_tasks"


@pytest.fixture
async def old_folder(own_folder: Path, tmp_path: Path) -> Path:
    """A folder of `make digest` and `make up` whose database has a migration that no longer exists."""
    (tmp_path / f"{OLD}.sql").write_text("create table public.tasks (task_id uuid);", encoding="utf-8")
    stack = Stack(StackOptions(own_folder / "sample", port=0, migrations=tmp_path, durable=False))
    await stack.start()
    await stack.stop()
    return own_folder


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "embedded.commands", *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


async def test_the_emulator_and_make_name_the_folder(old_folder: Path, tmp_path: Path) -> None:
    data = old_folder / "sample"
    message = f"database of an unreleased version: remove {data}"
    with pytest.raises(MigrationError, match=message):
        await Stack(StackOptions(data, port=0, migrations=MIGRATIONS, durable=False)).start()
    for arguments in (("digest", "--offline", "--out", str(tmp_path)), ("up", "--offline")):
        done = command(*arguments, "--folder", str(old_folder))
        assert done.returncode == 1
        assert message in " ".join((done.stdout + done.stderr).split())
    assert (data / "jwt-secret").exists(), "no command removes the folder"


async def test_make_migrate_names_what_to_do(empty: str) -> None:
    connection = await asyncpg.connect(empty)
    await connection.execute(
        "create schema supabase_migrations; create table supabase_migrations.schema_migrations "
        "(version text primary key, statements text[], name text); insert into supabase_migrations.schema_migrations "
        "values ('20261124000100', null, 'tasks'), ('20261124000200', null, 'workers')"
    )
    done = migrate(empty)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"database of an unreleased version: it has the migration {OLD}" in done.stderr
    assert "`supabase db reset --linked --no-seed`" in done.stderr
    assert await connection.fetchval("select count(*) from pg_tables where schemaname = 'public'") == 0
    await connection.close()


async def test_a_newer_database_is_not_refused(empty: str) -> None:
    """After a rollback, older code meets the schema of newer code."""
    assert migrate(empty).returncode == 0
    connection = await asyncpg.connect(empty)
    await connection.execute(
        "insert into supabase_migrations.schema_migrations values ('29990101000000', null, 'later')"
    )
    await connection.close()
    done = migrate(empty)
    assert (done.returncode, done.stdout) == (0, "0 applied; the schema is up to date\n")
