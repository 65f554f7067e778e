"""Keeps the schema cache current as PostgREST does: listens for `NOTIFY pgrst` and reads the catalog again."""

import asyncio

import asyncpg

from embedded.postgrest.catalog import Catalog, read_catalog

RETRY_SECONDS = 0.5


class SchemaWatch:
    """Reads the database's catalog into `catalog`, and again `delay` seconds after each notification."""

    def __init__(self, dsn: str, catalog: Catalog, delay: float) -> None:
        self._dsn = dsn
        self._catalog = catalog
        self._delay = delay

    async def read(self) -> None:
        """Read the catalog once. Raises `OSError`, `asyncpg.PostgresError`."""
        connection = await asyncpg.connect(self._dsn)
        try:
            self._catalog.replace(await read_catalog(connection))
        finally:
            await connection.close()

    async def run(self) -> None:
        """Listen until cancelled; reconnect and read again after the database was unavailable."""
        while True:
            try:
                await self._listen()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                self._catalog.clear()
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        """Read again at each notification, until the connection is lost."""
        notified = asyncio.Event()
        connection = await asyncpg.connect(self._dsn)
        connection.add_termination_listener(lambda _connection: notified.set())
        try:
            await connection.add_listener("pgrst", lambda *_event: notified.set())
            while not connection.is_closed():
                # Changes before the listener started caused no notification here.
                self._catalog.replace(await read_catalog(connection))
                await notified.wait()
                await asyncio.sleep(self._delay)
                notified.clear()
        finally:
            await connection.close(timeout=1)
