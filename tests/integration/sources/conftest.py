"""Fixtures of the sources' tests: the real fetcher, scripted responses, and recorded feeds."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.external.client import open_external
from app.sources.fetcher import FetchSettings, HttpFetcher
from tests.support.fixture_types import ReadFile
from tests.support.source_responses import MakeFetcher

REPOSITORY = Path(__file__).parents[3]


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
