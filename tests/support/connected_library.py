"""A reader with a library at the fake Zotero, and the job that syncs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
from pydantic import SecretStr
from supabase import AsyncClient

from app.external.client import ExternalClient, open_external
from app.libraries.sync import LibrarySync
from app.persistence.reader_libraries import ConnectedLibrary, LibraryProblem
from app.persistence.reader_papers import ReaderPaper
from app.services import Services
from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.rate_limiter import RateLimiter
from app.sources.zotero import Zotero
from tests.support.fake_zotero import KEY, FakeZotero
from tests.support.schedule import add_reader


@dataclass
class Connected:
    """A reader with a library, and the job that syncs it."""

    services: Services
    zotero: FakeZotero
    reader_id: UUID
    syncs: LibrarySync
    database: asyncpg.Connection

    async def connect(self, *collections: str) -> None:
        assert await self.services.libraries.connect(self.reader_id, self.zotero.library, collections, SecretStr(KEY))

    async def sync(self) -> list[str]:
        """Sync the library as if it were due; return the paths of the requests."""
        await self.database.execute("update public.reader_libraries set next_sync_at = now() where true")
        before = len(self.zotero.requests)
        assert await self.syncs.run_next()
        return self.zotero.paths[before:]

    async def papers(self) -> dict[str, ReaderPaper]:
        """The reader's papers by title."""
        found: dict[str, ReaderPaper] = {}
        cursor: str | None = None
        while not found or cursor:
            page = await self.services.reader_papers.page(self.reader_id, limit=100, cursor=cursor)
            found |= {paper.title or "": paper for paper in page.papers}
            cursor = page.next_cursor
            if not page.papers:
                break
        return found

    async def library(self) -> ConnectedLibrary:
        found = await self.services.libraries.get(self.reader_id)
        assert found is not None
        return found

    async def problem(self) -> LibraryProblem | None:
        return (await self.library()).problem_kind


def sync_of(services: Services, fake: FakeZotero, http: ExternalClient) -> LibrarySync:
    """What a process syncs libraries with."""
    fetcher = HttpFetcher(http, FetchSettings("Broadsheet tests"))
    zotero = Zotero(fetcher, fake.url, RateLimiter(0.0, permits=services.rate_limits, name="zotero"))
    return LibrarySync(services.library_syncs, services.items, zotero)


@asynccontextmanager
async def connected(
    client: AsyncClient, database: asyncpg.Connection, fake: FakeZotero, *collections: str
) -> AsyncIterator[Connected]:
    services = Services.build(client)
    reader_id = (await add_reader(client)).reader_id
    async with fake.serve(), open_external() as http:
        with_library = Connected(services, fake, reader_id, sync_of(services, fake, http), database)
        await with_library.connect(*collections)
        yield with_library
