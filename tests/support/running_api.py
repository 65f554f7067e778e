"""The API on a port of this process, and raw connections to it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from app.api.connection import BoundedProtocol

KEY = "k" * 16


class HastyProtocol(BoundedProtocol):
    """The real protocol with short deadlines, only for tests that wait for a deadline."""

    request_timeout = 0.4
    response_timeout = 0.4
    linger = 0.2


class Raw:
    """A connection that sends and reads raw bytes, as a hostile caller would."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """All data until the server closes the connection, which it must."""
        async with asyncio.timeout(10):
            return await self.reader.read()


class QuickServer(uvicorn.Server):
    """The real server, which waits for an event to end instead of polling ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Stop as SIGTERM does."""
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
    """The application, its server and its port."""

    def __init__(self, app: FastAPI, server: QuickServer, port: int) -> None:
        self.app = app
        self.server = server
        self.port = port

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    @asynccontextmanager
    async def connected(self, *, buffer: int | None = None) -> AsyncIterator[Raw]:
        """A connection; `buffer` is the size of this side's receive buffer."""
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
        """Wait until the server has no connection."""
        async with asyncio.timeout(10):
            while self.connections:
                await asyncio.sleep(0.02)
