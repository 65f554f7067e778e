"""A server on loopback whose every byte a test decides, and the real fetcher that reads from it."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.redirects import RedirectPolicy

Body = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
REPOSITORY = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Reply:
    """A scripted answer; a `body` that is a function writes for itself, after the headers."""

    body: Body = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived."""

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


class ScriptedServer:
    """Answers a path with its replies in turn, the last one from then on."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[Seen] = []
        self._replies: dict[str, list[Reply]] = {}

    def on(self, path: str, *replies: Reply) -> str:
        self._replies[path] = list(replies)
        return self.url + path

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            await self._answer(lines, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _answer(self, lines: list[str], writer: asyncio.StreamWriter) -> None:
        target = urlsplit(lines[0].split(" ")[1])
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        self.seen.append(Seen(target.path, parse_qs(target.query), headers))
        replies = self._replies.get(target.path, [Reply(status=404)])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        sent = {"Content-Type": "application/xml", "Connection": "close", **reply.headers}
        writer.write(f"HTTP/1.1 {reply.status} Scripted\r\n".encode())
        writer.write("".join(f"{name}: {value}\r\n" for name, value in sent.items()).encode() + b"\r\n")
        if isinstance(reply.body, bytes):
            writer.write(reply.body)
        else:
            await reply.body(writer)
        await writer.drain()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer()
    listening = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.url = "http://127.0.0.1:%d" % listening.sockets[0].getsockname()[1]  # noqa: UP031  -- shorter than a name
    yield scripted
    listening.close()
    await listening.wait_closed()


@pytest.fixture
async def outside() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
def fetcher(outside: httpx.AsyncClient) -> HttpFetcher:
    return HttpFetcher(outside, FetchSettings(), RedirectPolicy())


@pytest.fixture
def feed_file() -> Callable[[str], bytes]:
    """Read one of the project's own feeds."""

    def read(name: str) -> bytes:
        return (REPOSITORY / "tests" / "data" / "feeds" / name).read_bytes()

    return read


@pytest.fixture
def recorded() -> Callable[[str], bytes]:
    """Read one of arXiv's recorded answers, where the machine has them."""
    folder = Path(os.environ.get("BROADSHEET_SHARED", REPOSITORY.parent / "shared")) / "feeds"

    def read(name: str) -> bytes:
        if not (folder / name).is_file():
            pytest.skip(f"arXiv's recorded answers are not at {folder}; BROADSHEET_SHARED names another folder")
        return (folder / name).read_bytes()

    return read
