"""Checks that the database has the schema that this code needs."""

from app.errors import SchemaOutdated
from app.persistence.repository import Repository

NEEDED_VERSION = 8
"""The lowest accepted `schema_version()`. Raise it together with the migration that the code relies on."""


class Schema(Repository):
    """Reads the version of the database's schema."""

    async def version(self) -> int:
        """Return the version of the schema. Raises `SupabaseError`."""
        return await self._call("schema_version", "read the schema's version", int)

    async def require(self) -> None:
        """Raise `SchemaOutdated` if the schema is too old, another `SupabaseError` if its version cannot be read."""
        found = await self.version()
        if found < NEEDED_VERSION:
            raise SchemaOutdated(
                f"The database's schema has version {found}, this code needs {NEEDED_VERSION}. "
                "Apply the migrations: `make migrate` or `supabase db push`."
            )
