"""Prepares a database as Supabase prepares a new project: roles, authentication and rules, before any migration."""

from pathlib import Path
from typing import Any

PROJECT = Path(__file__).with_name("project.sql")
SAFE_UPDATE = "safeupdate"
"""The module of pg-safeupdate, which Supabase loads for all API requests."""


async def prepare(connection: Any, password: str, *, safe_update: bool) -> None:
    """Create or update these objects. `connection` must belong to a superuser.

    With `safe_update`, load the module that rejects an update or delete without a condition, also inside functions, if
    this PostgreSQL has it.
    """
    await connection.execute(PROJECT.read_text(encoding="utf-8"))
    await connection.execute(f"alter role authenticator password '{password}'")
    loaded = safe_update and await _has_safe_update(connection)
    modules = f"set session_preload_libraries = '{SAFE_UPDATE}'" if loaded else "reset session_preload_libraries"
    await connection.execute(f"alter role authenticator {modules}")


async def _has_safe_update(connection: Any) -> bool:
    folder = await connection.fetchval("select setting from pg_config where name = 'PKGLIBDIR'")
    return Path(folder, SAFE_UPDATE).with_suffix(".so").exists()
