"""A port in front of another that forwards bytes, and on request loses responses or lets nobody in."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_PIECE = 65_536


class LossyPort:
    """Forwards connections to `port` on loopback.

    `losing` is the share of responses after which the connection is cut before their first byte: the server has applied
    the request. `down` refuses everybody.
    """

    def __init__(self, port: int, chance: random.Random) -> None:
        self._target = port
        self._chance = chance
        self.losing = 0.0
        self.down = False
        self.lost = 0
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["LossyPort"]:
        """Listen on a free port while the block runs."""
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.down:
                return
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            return
        else:
            ways = [self._pump(reader, up_writer), self._pump(up_reader, writer, may_lose=True)]
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            up_writer.transport.abort()
        finally:
            writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, may_lose: bool = False
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(_PIECE):
                if may_lose and self._chance.random() < self.losing:
                    self.lost += 1
                    return
                writer.write(piece)
                await writer.drain()
