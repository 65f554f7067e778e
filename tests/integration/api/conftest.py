"""The API's HTTP side on a port of this process, and raw connections to it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
import uvloop
from fastapi import FastAPI

from app.api.connection import BoundedProtocol
from app.config import ApiSettings
from tests.applications import application

KEY = "k" * 16


class HastyProtocol(BoundedProtocol):
    """The real one, in a hurry: for tests that wait for a deadline, and for nobody else, as a machine may be slow."""

    request_timeout = 0.4
    response_timeout = 0.4
    linger = 0.2


class Raw:
    """A connection that sends and reads bytes as a hostile caller would."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """What comes until the other side ends the connection; it must."""
        async with asyncio.timeout(10):
            return await self.reader.read()


class QuickServer(uvicorn.Server):
    """The real one, but for its waits: it is told when to end, in place of looking ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """SkipDelivery as at SIGTERM."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
        await self.lifespan.shutdown()


class RunningApi:
    """What runs, and where."""

    def __init__(self, app: FastAPI, server: QuickServer, port: int) -> None:
        self.app = app
        self.server = server
        self.port = port

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    @asynccontextmanager
    async def connected(self, *, buffer: int | None = None) -> AsyncIterator[Raw]:
        """A connection; `buffer` is how much this side takes before it is read."""
        sock = socket.socket()
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            yield Raw(reader, writer)
        finally:
            writer.transport.abort()

    async def until_gone(self) -> None:
        """Wait until the server has no connection any more."""
        async with asyncio.timeout(10):
            while self.connections:
                await asyncio.sleep(0.02)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the API runs on: its transports differ from asyncio's once they are closed."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def settings() -> ApiSettings:
    values = {"supabase_url": "http://127.0.0.1:9", "supabase_key": "sb_secret_x", "supabase_retries": 0}
    return ApiSettings.model_validate(values | {"api_keys": KEY})


@pytest.fixture
def protocol() -> type[BoundedProtocol]:
    """What reads the connections; a room whose tests wait for its deadlines has `HastyProtocol`."""
    return BoundedProtocol


@pytest.fixture
def keep_alive() -> int:
    """Seconds for which a connection without a request is kept: callers on a slow machine come back late."""
    return 60


@pytest.fixture
async def api(settings: ApiSettings, protocol: type[BoundedProtocol], keep_alive: int) -> AsyncIterator[RunningApi]:
    with application(settings) as app, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            app, http=protocol, ws="none", log_config=None, access_log=False, timeout_keep_alive=keep_alive
        )
        server = QuickServer(config)
        # Not serve(): the signals are the test run's.
        serving = asyncio.create_task(server._serve([listener]))  # noqa: SLF001  (the comment above says why)
        while not server.started:
            await asyncio.sleep(0.001)
        yield RunningApi(app, server, port)
        server.end()
        await serving
