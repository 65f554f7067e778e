"""Connected libraries and their syncs: scenarios of `test_repeated_writes.py`."""

from datetime import timedelta
from uuid import UUID

from pydantic import SecretStr
from supabase import AsyncClient

from app.persistence.library_syncs import LibrarySyncs, read_row, refused_row
from app.persistence.reader_libraries import LibraryProblem, ReaderLibraries
from app.persistence.reader_papers import PaperInput
from tests.contract.scenarios import OTHER, TASK, scenario
from tests.support.fake_zotero import KEY, USER
from tests.support.schedule import add_reader

READ = [
    read_row("AAAAAAAA", 3, PaperInput(keys=("doi:1",), doi="1", title="T")),
    refused_row("BBBBBBBB", 4, "it is no paper"),
]
HOUR = timedelta(hours=1)
THIRD = UUID("00000000-0000-4000-8000-00000000000c")


async def connect(client: AsyncClient, times: int) -> tuple[ReaderLibraries, LibrarySyncs]:
    await add_reader(client, reader_id=str(TASK), external_id="ada")
    libraries = ReaderLibraries(client)
    for _ in range(times):
        assert await libraries.begin_check(TASK, OTHER) == 0
    for _ in range(times):
        assert await libraries.connect(TASK, USER, ["Thesis/**"], SecretStr(KEY))
    return libraries, LibrarySyncs(client)


@scenario(*(f"ReaderLibraries.{name}" for name in ("begin_check", "connect", "get", "issues", "disconnect")))
async def connecting(client: AsyncClient, times: int) -> None:
    libraries, _ = await connect(client, times)
    for _ in range(times):
        assert await libraries.connect(TASK, USER, [], None)
    for _ in range(times):
        library = await libraries.get(TASK)
        assert library is not None
        assert (library.library, library.collections, library.papers) == (USER, (), 0)
    assert await libraries.issues([TASK]) == {}
    for _ in range(times):
        await libraries.disconnect(TASK, keep_papers=False)
    assert await libraries.get(TASK) is None


@scenario(*(f"LibrarySyncs.{name}" for name in ("claim", "hold", "versions", "record", "remove", "complete")))
async def syncing(client: AsyncClient, times: int) -> None:
    libraries, syncs = await connect(client, 1)
    for _ in range(times):
        claimed = await syncs.claim(OTHER)
        assert claimed is not None
        assert (claimed.reader_id, claimed.version, claimed.key.get_secret_value()) == (TASK, None, KEY)
    for _ in range(times):
        await syncs.hold(OTHER)
    for _ in range(times):
        assert await syncs.versions(OTHER) == {}
    for _ in range(times):
        await syncs.record(OTHER, READ)
    assert await syncs.versions(OTHER) == {"AAAAAAAA": 3, "BBBBBBBB": 4}
    for _ in range(times):
        await syncs.remove(OTHER, ["AAAAAAAA"])
    for _ in range(times):
        await syncs.complete(OTHER, 5, again=HOUR)
    library = await libraries.get(TASK)
    assert library is not None
    assert (library.papers, library.rejected, library.problem) == (0, 1, None)
    assert await syncs.claim(THIRD) is None


@scenario("LibrarySyncs.fail", "LibrarySyncs.postpone")
async def failing(client: AsyncClient, times: int) -> None:
    libraries, syncs = await connect(client, 1)
    await syncs.claim(OTHER)
    for _ in range(times):
        await syncs.fail(OTHER, LibraryProblem.KEY_REFUSED, "no", again=timedelta(0))
    await syncs.claim(THIRD)
    for _ in range(times):
        await syncs.postpone(THIRD, again=HOUR)
    assert (await libraries.issues([TASK]))[TASK].problem == "no"


@scenario("ReaderLibraries.changed_in_file", "ReaderLibraries.record_file_library")
async def filing(client: AsyncClient, times: int) -> None:
    libraries, _ = await connect(client, 1)
    stored = {"ada": {"id": USER}, "nobody": {"id": USER}}
    for _ in range(times):
        (changed,) = await libraries.changed_in_file("default", stored)
        assert changed.reader_id == TASK
    for _ in range(times):
        await libraries.record_file_library(TASK, {"id": USER})
    assert await libraries.changed_in_file("default", stored) == []
    assert len(await libraries.changed_in_file("default", {"ada": {}})) == 1
