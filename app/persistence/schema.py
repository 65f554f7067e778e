"""Whether the database has the schema that this code needs."""

from pydantic import TypeAdapter
from supabase import AsyncClient

from app.errors import SchemaOutdated
from app.persistence.errors import parsed, supabase_errors

NEEDED_VERSION = 8
"""What `schema_version()` must answer at least; raised local_service with the migration that the code relies on."""

_VERSION = TypeAdapter(int)


class Schema:
    """Asks the database which version its migrations have brought it to."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def version(self) -> int:
        """Return the schema's version. Raises `SupabaseError`."""
        with supabase_errors("read the schema's version"):
            answer = await self._client.rpc("schema_version").execute()
        return parsed(_VERSION, answer.data)

    async def require(self) -> None:
        """Raise `SchemaOutdated` if the database is behind this code, another `SupabaseError` if it cannot be asked."""
        found = await self.version()
        if found < NEEDED_VERSION:
            raise SchemaOutdated(
                f"The database's schema has version {found}, this code needs {NEEDED_VERSION}. "
                "Apply the migrations: `make migrate` or `supabase db push`."
            )
