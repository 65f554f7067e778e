"""Cancelled calls leave no connection in use in the pool."""

import asyncio
import random

import aiohttp
import pytest
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.client.transport import ErrorMappingTransport
from app.persistence.errors import supabase_errors
from tests.support.fixture_types import MakeSettings, StartServer
from tests.support.scripted_server import answer

REQUESTS = 1000
IN_FLIGHT = 60
CONNECTIONS = 20


class WatchedTransport(ErrorMappingTransport):
    """The real transport with access to its pool."""

    def _open_session(self) -> aiohttp.ClientSession:
        self.session = super()._open_session()
        return self.session

    @property
    def in_use(self) -> int:
        assert isinstance(self.session.connector, aiohttp.TCPConnector)
        return len(self.session.connector._acquired)  # noqa: SLF001  (aiohttp has no public count)


async def slow_response(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(random.uniform(0, 0.004))
    await answer(200, [{"id": 1}])(writer)


async def read(client: AsyncClient) -> None:
    with supabase_errors("read"):
        await client.table("items").select("id").execute()


async def read_and_maybe_cancel(client: AsyncClient, chance: random.Random, places: asyncio.Semaphore) -> bool:
    """Start a read, cancel half of them at a random time; return whether it finished."""
    async with places:
        task = asyncio.ensure_future(read(client))
        if chance.random() < 0.5:
            await asyncio.sleep(chance.uniform(0, 0.006))
            task.cancel()
        return not isinstance((await asyncio.gather(task, return_exceptions=True))[0], BaseException)


async def test_random_cancellation_leaves_no_connection_in_use(
    start_server: StartServer, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start_server(slow_response)
    # Generous: no assertion here may fail because a machine is slow.
    monkeypatch.setattr("app.client.transport.POOL_TIMEOUT", 30)
    patience: dict[str, object] = {"supabase_call_timeout": 60}
    transport = WatchedTransport(CONNECTIONS, read_timeout=30)
    chance, places = random.Random(20260101), asyncio.Semaphore(IN_FLIGHT)
    async with open_supabase(make_settings(server.url, **patience), transport=transport) as client:
        finished = await asyncio.gather(*(read_and_maybe_cancel(client, chance, places) for _ in range(REQUESTS)))
        assert transport.in_use == 0
        assert 0 < sum(finished) < REQUESTS
        await asyncio.gather(*(read(client) for _ in range(CONNECTIONS * 2)))
        assert transport.in_use == 0
