"""An emulator whose database has a changed migration reports what to do, and keeps the data."""

from pathlib import Path

import pytest

from embedded.stack import Stack, StackOptions
from scripts.migrate import MigrationError


async def test_a_changed_migration_is_named_with_the_way_out(stack_folder: Path, tmp_path: Path) -> None:
    migration = tmp_path / "20260101000000_a.sql"
    migration.write_text("create table public.a (id integer);", encoding="utf-8")
    data = stack_folder / "another-version"
    options = StackOptions(data, port=0, migrations=tmp_path, durable=False)
    stack = Stack(options)
    await stack.start()
    await stack.stop()
    migration.write_text("create table public.a (id bigint);", encoding="utf-8")
    with pytest.raises(MigrationError, match=f"20260101000000_a has changed .* remove {data}"):
        await Stack(options).start()
    assert data.is_dir()
