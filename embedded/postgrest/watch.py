"""Keeps the schema cache fresh as PostgREST does: it listens for `NOTIFY pgrst` and reads the catalogue anew."""

import asyncio

import asyncpg

from embedded.postgrest.catalog import Catalog, read_catalog

RETRY_SECONDS = 0.5


class SchemaWatch:
    """Reads the catalogue into `catalog`, and again `delay` seconds after each word of a change."""

    def __init__(self, dsn: str, catalog: Catalog, delay: float) -> None:
        self._dsn = dsn
        self._catalog = catalog
        self._delay = delay

    async def read(self) -> None:
        """Read the catalogue once. Raises `OSError`, `asyncpg.PostgresError`."""
        connection = await asyncpg.connect(self._dsn)
        try:
            self._catalog.replace(await read_catalog(connection))
        finally:
            await connection.close()

    async def run(self) -> None:
        """Listen until cancelled; begins again, with a fresh reading, when the database was away."""
        while True:
            try:
                await self._listen()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                self._catalog.forget()
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        """Read anew at every word, until the connection is lost."""
        news = asyncio.Event()
        connection = await asyncpg.connect(self._dsn)
        connection.add_termination_listener(lambda _connection: news.set())
        try:
            await connection.add_listener("pgrst", lambda *_event: news.set())
            while not connection.is_closed():
                # What changed while nobody listened was never told.
                self._catalog.replace(await read_catalog(connection))
                await news.wait()
                await asyncio.sleep(self._delay)
                news.clear()
        finally:
            await connection.close(timeout=1)
