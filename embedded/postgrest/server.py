"""The gateway as an HTTP server on a port, with its pool and its schema cache."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from embedded.loopback import listen
from embedded.postgrest.auth import Keys
from embedded.postgrest.catalog import Catalog
from embedded.postgrest.database import Database
from embedded.postgrest.gateway import Gateway
from embedded.postgrest.limits import GatewayLimits
from embedded.postgrest.watch import SchemaWatch


class GatewayServer:
    """One gateway for the database at `dsn`; requests use its role `authenticator`, through `api_dsn`."""

    def __init__(self, dsn: str, api_dsn: str, keys: Keys, limits: GatewayLimits, pool_size: int) -> None:
        catalog = Catalog()
        self._watch = SchemaWatch(dsn, catalog, limits.reload_after)
        self._database = Database(api_dsn, pool_size, limits.pool_within)
        self._tasks: list[asyncio.Task[None]] = []
        self._http = _Server(
            uvicorn.Config(
                Gateway(self._database, catalog, keys, limits),
                interface="asgi3",
                http="httptools",
                lifespan="off",
                log_config=None,
                access_log=False,
                # Longer than the client keeps an idle connection, so that the server never closes one in use.
                timeout_keep_alive=75,
            )
        )

    async def start(self, port: int) -> int:
        """Listen on `port`, or on a free port for 0; returns the port. Raises `PortTaken`, `asyncpg.PostgresError`."""
        await self._database.open()
        listening = listen(port)
        try:
            await self._watch.read()
        except BaseException:
            listening.close()
            raise
        serving = asyncio.create_task(self._http.serve(sockets=[listening]))
        self._tasks = [serving, asyncio.create_task(self._watch.run())]
        while not self._http.started:  # noqa: ASYNC110  (uvicorn has only an attribute)
            await asyncio.sleep(0.005)
        return int(listening.getsockname()[1])

    async def stop(self) -> None:
        """Close the port and every connection to the database."""
        if self._tasks:
            self._http.should_exit = True
            self._http.force_exit = True
            await self._tasks[0]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._database.close()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process that runs the stack decides when it stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
