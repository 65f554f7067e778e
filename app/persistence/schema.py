"""Checks that the database has the schema that this code needs."""

from pydantic import TypeAdapter
from supabase import AsyncClient

from app.errors import SchemaOutdated
from app.persistence.errors import parsed, supabase_errors

NEEDED_VERSION = 8
"""The lowest accepted `schema_version()`. Raise it together with the migration that the code relies on."""

_VERSION = TypeAdapter(int)


class Schema:
    """Reads the version of the database's schema."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def version(self) -> int:
        """Return the version of the schema. Raises `SupabaseError`."""
        with supabase_errors("read the schema's version"):
            response = await self._client.rpc("schema_version").execute()
        return parsed(_VERSION, response.data)

    async def require(self) -> None:
        """Raise `SchemaOutdated` if the schema is too old, another `SupabaseError` if its version cannot be read."""
        found = await self.version()
        if found < NEEDED_VERSION:
            raise SchemaOutdated(
                f"The database's schema has version {found}, this code needs {NEEDED_VERSION}. "
                "Apply the migrations: `make migrate` or `supabase db push`."
            )
