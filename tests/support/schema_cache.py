"""Waits until a PostgREST, the emulator or a real one, has read what was last done to the schema."""

import asyncio
from uuid import uuid4

import asyncpg
import httpx


async def schema_is_read(database: asyncpg.Connection, url: str) -> None:
    """Make a function, and ask until the PostgREST at `url` (its root) knows it; `database` is a superuser's."""
    name = f"seen_{uuid4().hex}"
    await database.execute(f"create function public.{name}() returns int language sql as 'select 1'")
    await database.execute("notify pgrst, 'reload schema'")
    async with asyncio.timeout(20), httpx.AsyncClient(trust_env=False) as http:
        # Whoever may not call it is told so, once it is known.
        while (await http.post(f"{url}/rpc/{name}")).status_code == httpx.codes.NOT_FOUND:
            await asyncio.sleep(0.02)
    await database.execute(f"drop function public.{name}()")
