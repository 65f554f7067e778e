"""A small real server on loopback that follows a script and records its requests."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable

Step = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(status: int, body: object, *, headers: str = "", close: bool = False) -> Step:
    """Respond with `body`: text unchanged, other values as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    kind = "text/html" if isinstance(body, str) and body.startswith("<") else "application/json"
    payload = text.encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(payload)}\r\n{headers}\r\n"
    return send(head.encode() + payload, close=close)


def compressed(status: int, body: object, coding: str) -> Step:
    """Respond with `body` as compressed JSON, as gateways in front of PostgREST do: gzip or deflate."""
    plain = json.dumps(body).encode()
    payload = gzip.compress(plain) if coding == "gzip" else zlib.compress(plain)
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\n"
    return send(f"{head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload)


def send(data: bytes, *, close: bool = False) -> Step:
    """Send `data` unchanged; with `close` end the connection after it."""

    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()

    return step


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close without a response."""
    writer.close()


async def stall(_writer: asyncio.StreamWriter) -> None:
    """Never respond."""
    await asyncio.Event().wait()


class ScriptedServer:
    """Responds to its n-th request with the n-th step; the last step repeats."""

    def __init__(self, *steps: Step, close_on_accept: bool = False) -> None:
        self.url = ""
        self.seen: list[str] = []
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.seen_at: list[float] = []
        self.connections = 0
        self._steps = steps
        self._close_on_accept = close_on_accept
        self._handlers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            while not self._close_on_accept and await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._handlers.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")]
        self.bodies.append(await reader.readexactly(sum(lengths)))
        self.seen.append(head.split(" HTTP/")[0])
        self.heads.append(head)
        self.seen_at.append(asyncio.get_running_loop().time())
        await self._steps[min(len(self.seen), len(self._steps)) - 1](writer)
        return not writer.is_closing()
