"""The real Worker on the real stack with the real client: started with a test's handlers, observed by its effects."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from supabase import AsyncClient

from app.persistence.readers import Reader
from embedded.stack import Ready
from tests.support.connected_library import Connected, connected
from tests.support.fake_zotero import FakeZotero
from tests.support.items import ARXIV, copy, save
from tests.support.proxy import Proxy
from tests.support.reader_mails import due
from tests.support.schedule import Clock


@pytest.fixture
async def proxy(stack: Ready) -> AsyncIterator[Proxy]:
    """A proxy in front of the emulator, which passes everything on until a test configures a fault.

    A test names it before `start_worker`: a worker that ends after its proxy repeats its last call for five seconds.
    """
    proxy = Proxy(stack.url)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def small(client: AsyncClient, database: asyncpg.Connection) -> AsyncIterator[Connected]:
    """A reader with a synced library of five papers."""
    fake = FakeZotero()
    fake.fill(range(5))
    async with connected(client, database, fake) as with_library:
        await with_library.sync()
        yield with_library


@pytest.fixture
async def reader(client: AsyncClient, clock: Clock) -> Reader:
    """A due reader with a new item."""
    await save(client, copy(**ARXIV, title="Ice remembers", abstract="Radar reads the memory of glaciers."))
    return await due(client, clock)
