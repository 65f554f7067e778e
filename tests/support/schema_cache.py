"""Waits until a PostgREST, the emulator or a real one, has reloaded the schema."""

import asyncio
from uuid import uuid4

import asyncpg
import httpx


async def schema_is_read(database: asyncpg.Connection, url: str) -> None:
    """Create a function and wait until the PostgREST at `url` (its root) knows it; `database` is a superuser's."""
    name = f"seen_{uuid4().hex}"
    await database.execute(f"create function public.{name}() returns int language sql as 'select 1'")
    await database.execute("notify pgrst, 'reload schema'")
    async with asyncio.timeout(20), httpx.AsyncClient(trust_env=False) as http:
        # A caller without permission gets another status than 404 once the function is known.
        while (await http.post(f"{url}/rpc/{name}")).status_code == httpx.codes.NOT_FOUND:
            await asyncio.sleep(0.02)
    await database.execute(f"drop function public.{name}()")
