"""Fixtures of the sources' tests: the real fetcher, answers for it to get, and feeds to serve."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from app.external.client import open_external
from app.sources.fetcher import FetchSettings, HttpFetcher
from tests.integration.client.scripted_server import Step, send
from tests.integration.conftest import ReadFile

REPOSITORY = Path(__file__).parents[3]


class MakeFetcher(Protocol):
    def __call__(self, **changes: float) -> HttpFetcher: ...


def reply(body: bytes = b"", *, status: int = 200, kind: str = "application/xml", headers: str = "") -> Step:
    """One whole answer, then the connection's end."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n{headers}\r\n"
    return send(head.encode() + body, close=True)


def redirect(location: str) -> Step:
    return reply(status=302, headers=f"Location: {location}\r\n")


@pytest.fixture
async def make_fetcher() -> AsyncIterator[MakeFetcher]:
    """Build the real fetcher over a real client; arguments change its settings."""
    async with open_external() as client:

        def make(**changes: float) -> HttpFetcher:
            settings = FetchSettings(
                "Broadsheet tests",
                max_bytes=int(changes.get("max_bytes", 5_000_000)),
                total_seconds=changes.get("total_seconds", 30.0),
            )
            return HttpFetcher(client, settings)

        yield make


@pytest.fixture
def feed_file() -> ReadFile:
    """Read one of the project's own feeds."""
    return lambda name: (REPOSITORY / "tests" / "data" / "feeds" / name).read_bytes()
