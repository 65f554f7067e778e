"""Fixtures of the sources' tests: scripted servers on loopback, the real fetcher, and feeds to serve."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.redirects import RedirectPolicy
from tests.integration.transport.scripted_server import ScriptedServer, Step, send

REPOSITORY = Path(__file__).parents[3]


class Serve(Protocol):
    def __call__(self, *steps: Step) -> Awaitable[ScriptedServer]: ...


class MakeFetcher(Protocol):
    def __call__(self, **changes: float) -> HttpFetcher: ...


ReadFile = Callable[[str], bytes]


def reply(body: bytes = b"", *, status: int = 200, kind: str = "application/xml", headers: str = "") -> Step:
    """One whole answer, then the connection's end."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n{headers}\r\n"
    return send(head.encode() + body, close=True)


def redirect(location: str) -> Step:
    return reply(status=302, headers=f"Location: {location}\r\n")


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server that answers its n-th request with the n-th step."""
    running: list[ScriptedServer] = []

    async def start(*steps: Step) -> ScriptedServer:
        running.append(ScriptedServer(*steps))
        await running[-1].start()
        return running[-1]

    yield start
    for server in running:
        await server.stop()


@pytest.fixture
async def make_fetcher() -> AsyncIterator[MakeFetcher]:
    """Build the real fetcher over a real client; arguments change its settings."""
    async with httpx.AsyncClient(trust_env=False) as client:

        def make(**changes: float) -> HttpFetcher:
            settings = FetchSettings(
                max_bytes=int(changes.get("max_bytes", 5_000_000)), total_seconds=changes.get("total_seconds", 30.0)
            )
            return HttpFetcher(client, settings, RedirectPolicy())

        yield make


@pytest.fixture
def feed_file() -> ReadFile:
    """Read one of the project's own feeds."""
    return lambda name: (REPOSITORY / "tests" / "data" / "feeds" / name).read_bytes()


@pytest.fixture
def recorded() -> ReadFile:
    """Read one of arXiv's recorded answers, where the machine has them."""
    folder = Path(os.environ.get("BROADSHEET_SHARED", REPOSITORY.parent / "shared")) / "feeds"

    def read(name: str) -> bytes:
        if not (folder / name).is_file():
            pytest.skip(f"arXiv's recorded answers are not at {folder}; BROADSHEET_SHARED names another folder")
        return (folder / name).read_bytes()

    return read
