"""`make migrate` as deployers run it: on an empty database, a second time, and with errors."""

from urllib.parse import urlsplit

import asyncpg
import pytest

from scripts.migrate import MIGRATIONS
from tests.support.migrate import migrate


async def test_each_migration_is_applied_once(empty: str) -> None:
    files = sorted(file.stem for file in MIGRATIONS.glob("*.sql"))
    first = migrate(empty)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines() == [
        *(f"applied {name}" for name in files),
        f"{len(files)} applied; the schema is up to date",
    ]
    again = migrate(empty)
    assert (again.returncode, again.stdout) == (0, "0 applied; the schema is up to date\n")
    connection = await asyncpg.connect(empty)
    known = await connection.fetch(
        "select version || '_' || name from supabase_migrations.schema_migrations order by 1"
    )
    assert [found[0] for found in known] == files
    assert await connection.fetchval("select public.schema_version()") is not None
    await connection.close()


@pytest.mark.parametrize(
    ("database_url", "status", "message"),
    [
        (None, 2, "DATABASE_URL is not set"),
        ("", 2, "DATABASE_URL is not set"),
        ("https://project.supabase.co", 1, "migrate: cannot change the database at DATABASE_URL: "),
        ("postgresql://u:hidden@127.0.0.1:1/x", 1, "migrate: cannot change the database at DATABASE_URL: "),
    ],
)
def test_an_error_is_one_line(database_url: str | None, status: int, message: str) -> None:
    done = migrate(database_url)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(message)
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stderr


async def test_a_wrong_password_is_reported_and_not_shown(empty: str) -> None:
    address = urlsplit(empty)
    done = migrate(empty.replace(str(address.password), "hidden"))
    assert done.returncode == 1
    assert "password authentication failed" in done.stderr
    assert "hidden" not in done.stderr
