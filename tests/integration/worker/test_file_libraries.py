"""Libraries in a readers file: what changed in the file is connected, and what readers change on their pages stays."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr
from supabase import AsyncClient

from app.external.client import open_external
from app.libraries.connection import LibraryConnections
from app.services import Services
from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.rate_limiter import RateLimiter
from app.sources.zotero import Zotero
from tests.support.fake_zotero import GROUP, KEY, USER, FakeZotero
from tests.support.own_data import erase
from tests.support.schedule import add_reader
from worker.file_libraries import FileLibraries
from worker.readers import FileReport, apply_readers_file

OTHER_KEY = "K" * 24
NO_PAUSE = timedelta(0)
ADA = '[[reader]]\nkey = "ada"\nname = "Ada"\n'
BOB = '[[reader]]\nkey = "bob"\nname = "Bob"\n'
LIBRARY = f'library = {{ id = "{USER}", key = "env:ADAS_KEY" }}\n'


class File:
    """A readers file that is applied again and again, beside a Zotero."""

    def __init__(self, path: Path, services: Services, zotero: FakeZotero, libraries: FileLibraries) -> None:
        self._path = path
        self._libraries = libraries
        self.services = services
        self.zotero = zotero

    async def apply(self, text: str) -> FileReport:
        self._path.write_text(text, encoding="utf-8")
        return await apply_readers_file(self.services.readers_file, self._libraries, self._path)

    async def connected(self, key: str = "ada") -> tuple[str, ...]:
        """The library of a reader and its collections; empty if none is connected."""
        (reader,) = await self.services.readers.page("default", external_id=key)
        library = await self.services.libraries.get(reader.reader_id)
        return (library.library, *library.collections) if library else ()

    async def reader_id(self) -> UUID:
        (reader,) = await self.services.readers.page("default", external_id="ada")
        return reader.reader_id


@pytest.fixture
async def file(
    client: AsyncClient,
    database_reset: None,  # noqa: ARG001  (run first)
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[File]:
    monkeypatch.setenv("ADAS_KEY", KEY)
    monkeypatch.setenv("OTHER_KEY", OTHER_KEY)
    monkeypatch.setattr("app.persistence.reader_libraries.CHECK_INTERVAL", NO_PAUSE)
    services = Services.build(client)
    async with FakeZotero().serve() as fake, open_external() as http:
        zotero = Zotero(HttpFetcher(http, FetchSettings("Broadsheet tests")), fake.url, RateLimiter(0.0))
        libraries = FileLibraries(services.libraries, LibraryConnections(zotero, services.libraries))
        yield File(tmp_path / "readers.toml", services, fake, libraries)


async def test_a_library_is_checked_and_connected_once(file: File) -> None:
    for _ in range(2):
        assert (await file.apply(ADA + LIBRARY + BOB)).refused == ()
        assert (await file.connected(), await file.connected("bob")) == ((USER,), ())
    assert file.zotero.paths == ["/keys/current", "items/top"], "an unchanged file sends no request"


async def test_a_refused_key_is_reported_with_its_line(file: File) -> None:
    text = ADA + LIBRARY.replace("ADAS_KEY", "OTHER_KEY")
    for _ in range(2):
        (refused,) = (await file.apply(text)).refused
        assert refused.startswith("line 4: the library of 'ada' is not connected: Zotero refuses the key")
        assert OTHER_KEY not in refused
        assert await file.connected() == ()
    file.zotero.keys[OTHER_KEY] = {"user": {"library": True}}
    assert (await file.apply(text)).refused == ()
    assert await file.connected() == (USER,)


async def test_what_the_reader_changed_on_the_page_stays(file: File) -> None:
    await file.apply(ADA + LIBRARY)
    await file.services.libraries.connect(await file.reader_id(), USER, ["Mine"], None)
    await file.apply(ADA + LIBRARY)
    assert await file.connected() == (USER, "Mine")
    await file.services.libraries.disconnect(await file.reader_id(), keep_papers=True)
    await file.apply(ADA + LIBRARY)
    assert await file.connected() == ()
    await file.apply(ADA + LIBRARY.replace(" }", ', collections = ["Ice"] }'))
    assert await file.connected() == (USER, "Ice"), "a change of the file counts"


async def test_a_library_that_left_the_file_is_disconnected(file: File) -> None:
    await file.apply(ADA + LIBRARY)
    await file.apply(ADA)
    assert await file.connected() == ()


async def test_a_file_without_a_library_disconnects_none_of_the_page(file: File) -> None:
    await file.apply(ADA)
    connections = file.services.libraries
    await connections.connect(await file.reader_id(), GROUP, [], SecretStr(KEY))
    await file.apply(ADA)
    assert await file.connected() == (GROUP,)


async def test_the_library_of_an_entry_that_is_not_stored_is_ignored(file: File, client: AsyncClient) -> None:
    await file.apply(BOB)
    await erase(client, await add_reader(client, email="ada@example.org"))
    report = await file.apply(BOB + 'email = "ada@example.org"\n' + LIBRARY)
    assert len(report.erased) == 1
    assert (await file.connected("bob"), file.zotero.paths) == ((), [])
