"""A connected library: what a sync reads, adds, changes and removes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from uuid import UUID

import asyncpg
import pytest
from aiohttp import web
from pydantic import SecretStr
from supabase import AsyncClient

from app.errors import SourceBusy
from app.external.client import open_external
from app.library_sync import LibrarySync
from app.persistence.reader_libraries import ConnectedLibrary, LibraryProblem
from app.persistence.reader_papers import PaperInput, ReaderPaper
from app.services import Services
from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.rate_limiter import RateLimiter
from app.sources.zotero import Zotero
from tests.support.fake_zotero import GROUP, KEY, FakeZotero, entry_key
from tests.support.schedule import add_reader
from worker.periodic.library_syncs import LibrarySyncer


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


@asynccontextmanager
async def connected(
    client: AsyncClient, database: asyncpg.Connection, fake: FakeZotero, *collections: str
) -> AsyncIterator[Connected]:
    services = Services.build(client)
    reader_id = (await add_reader(client)).reader_id
    async with fake.serve(), open_external() as http:
        fetcher = HttpFetcher(http, FetchSettings("Broadsheet tests", total_seconds=20))
        zotero = Zotero(fetcher, fake.url, RateLimiter(0.0, permits=services.rate_limits, name="zotero"))
        syncs = LibrarySync(services.library_syncs, services.items, zotero)
        with_library = Connected(services, fake, reader_id, syncs, database)
        await with_library.connect(*collections)
        yield with_library


@pytest.fixture
async def small(client: AsyncClient, database: asyncpg.Connection) -> AsyncIterator[Connected]:
    """A library of five papers that was synced."""
    fake = FakeZotero()
    fake.fill(range(5))
    async with connected(client, database, fake) as with_library:
        await with_library.sync()
        yield with_library


async def test_a_library_of_3000_papers_is_synced(client: AsyncClient, database: asyncpg.Connection) -> None:
    fake = FakeZotero()
    fake.fill(range(3_000))
    async with connected(client, database, fake) as library:
        assert await library.sync() == ["items/top", *(["items"] * 60)]
        papers = await library.papers()
        assert len(papers) == 3_000
        assert {(paper.origin, paper.liked) for paper in papers.values()} == {("zotero", True)}
        assert (await library.library()).papers == 3_000
        assert await library.sync() == ["items/top"], "an unchanged library takes one request"
        fake.put(7, "Glaciers forget", doi="10.1000/ice.7", abstract="Layers melt.")
        fake.remove(entry_key(8))
        assert await library.sync() == ["items/top", "items"]
        papers = await library.papers()
        assert len(papers) == 2_999
        assert papers["Glaciers forget"].abstract == "Layers melt."
        assert not {"The memory of glacier 7", "The memory of glacier 8"} & papers.keys()
        assert (await library.library()).synced_at is not None


async def test_a_trashed_paper_is_removed(small: Connected) -> None:
    small.zotero.trash(entry_key(1))
    await small.sync()
    assert "The memory of glacier 1" not in await small.papers()
    assert len(await small.papers()) == 4


async def test_collections_are_chosen_by_patterns_of_paths(client: AsyncClient, database: asyncpg.Connection) -> None:
    fake = FakeZotero(GROUP)
    thesis = fake.collect("THESIS00", "Thesis")
    ice = fake.collect("ICE00000", "Ice", thesis)
    deep = fake.collect("DEEP0000", "Deep", ice)
    other = fake.collect("OTHER000", "Other")
    for number, place in enumerate((thesis, ice, deep, other)):
        fake.fill([number], collections=frozenset({place}))
    async with connected(client, database, fake, "Thesis/**") as library:
        await library.sync()
        assert set(await library.papers()) == {f"The memory of glacier {number}" for number in range(3)}
        assert await library.sync() == ["collections"], "an unchanged library takes one request"
        fake.move(entry_key(2), [other])
        await library.sync()
        assert set(await library.papers()) == {"The memory of glacier 0", "The memory of glacier 1"}
        fake.collect("OTHER000", "Other", thesis)
        await library.sync()
        assert len(await library.papers()) == 4, "the collection was moved to where the pattern matches"
        await library.connect("Thesis/I*")
        await library.sync()
        assert set(await library.papers()) == {"The memory of glacier 1"}


async def test_the_last_paper_can_leave_a_collection(client: AsyncClient, database: asyncpg.Connection) -> None:
    fake = FakeZotero()
    fake.fill([1], collections=frozenset({fake.collect("ICE00000", "Ice")}))
    async with connected(client, database, fake, "Ice") as library:
        await library.sync()
        fake.move(entry_key(1), [])
        await library.sync()
        assert (await library.papers(), await library.problem()) == ({}, None)


async def test_patterns_without_a_match_remove_nothing(client: AsyncClient, database: asyncpg.Connection) -> None:
    fake = FakeZotero()
    fake.fill([1], collections=frozenset({fake.collect("ICE00000", "Ice")}))
    async with connected(client, database, fake, "Ice") as library:
        await library.sync()
        fake.collect("ICE00000", "Snow")
        await library.sync()
        assert len(await library.papers()) == 1
        assert await library.problem() is LibraryProblem.COLLECTIONS


async def test_a_library_that_becomes_empty_removes_nothing(small: Connected) -> None:
    kept = small.zotero.items
    small.zotero.items = {}
    small.zotero.version += 1
    await small.sync()
    assert (len(await small.papers()), await small.problem()) == (5, LibraryProblem.EMPTY)
    small.zotero.items = kept
    await small.sync()
    assert (len(await small.papers()), await small.problem()) == (5, None)


BROKEN = {
    "empty body": web.Response(headers={"Last-Modified-Version": "99", "Total-Results": "5"}),
    "no JSON": web.Response(text="<html>sorry</html>", headers={"Last-Modified-Version": "99", "Total-Results": "5"}),
    "cut list": web.Response(text='{"AAA00001": 2}', headers={"Last-Modified-Version": "99", "Total-Results": "5"}),
    "no version": web.Response(text="{}", headers={"Total-Results": "0"}),
    "wrong keys": web.Response(text='{"a": 1}', headers={"Last-Modified-Version": "99", "Total-Results": "1"}),
    "wrong versions": web.Response(
        text='{"AAA00001": "x"}', headers={"Last-Modified-Version": "99", "Total-Results": "1"}
    ),
    "nested": web.Response(text="[" * 100_000, headers={"Last-Modified-Version": "99", "Total-Results": "5"}),
    "server error": web.Response(status=500),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_list_removes_nothing(name: str, small: Connected) -> None:
    small.zotero.remove(entry_key(1))
    response = BROKEN[name]
    small.zotero.failures = [web.Response(status=response.status, text=response.text, headers=response.headers)]
    await small.sync()
    assert (len(await small.papers()), await small.problem()) == (5, LibraryProblem.UNAVAILABLE)


async def test_entries_that_do_not_arrive_keep_their_papers(small: Connected) -> None:
    small.zotero.put(1, "Glaciers forget", doi="10.1000/ice.1")
    before = small.zotero.version

    def empty_items(request: web.Request) -> None:
        if request.path.endswith("/items"):
            headers = {"Last-Modified-Version": str(before), "Total-Results": "0"}
            small.zotero.failures = [web.json_response([], headers=headers)]

    small.zotero.before = empty_items
    await small.sync()
    assert (len(await small.papers()), await small.problem()) == (5, LibraryProblem.INCOMPLETE)
    small.zotero.before = None
    await small.sync()
    assert "Glaciers forget" in await small.papers()
    assert await small.problem() is None


async def test_a_change_between_requests_begins_again(client: AsyncClient, database: asyncpg.Connection) -> None:
    fake = FakeZotero()
    fake.fill(range(120))
    async with connected(client, database, fake) as library:
        reads = 0

        def change(request: web.Request) -> None:
            nonlocal reads
            reads += request.path.endswith("/items")
            if reads == 2 and "Glaciers change" not in {item.title for item in fake.items.values()}:
                fake.remove(entry_key(0))
                fake.put(500, "Glaciers change", doi="10.1000/ice.500")

        fake.before = change
        assert await library.sync() == ["items/top", "items", "items", "items/top", "items", "items"]
        papers = await library.papers()
        assert len(papers) == 120
        assert "Glaciers change" in papers
        assert "The memory of glacier 0" not in papers
        assert await library.sync() == ["items/top"]


async def test_a_library_that_changes_all_the_time_is_postponed(small: Connected) -> None:
    def change(request: web.Request) -> None:
        if request.path.endswith("/items"):
            small.zotero.put(9, "Glaciers change")

    small.zotero.put(9, "Glaciers change")
    small.zotero.before = change
    await small.sync()
    library = await small.library()
    assert (library.is_syncing, library.problem, len(await small.papers())) == (False, None, 5)


async def test_backoff_delays_the_next_request_of_any_library(small: Connected, client: AsyncClient) -> None:
    small.zotero.headers = {"Backoff": "600"}
    small.zotero.put(9, "Glaciers change")
    with pytest.raises(SourceBusy):
        await small.sync()
    assert small.zotero.paths[-1] == "items/top", "nothing was requested after the response with Backoff"
    due = "select extract(epoch from next_sync_at - now()) from public.reader_libraries"
    assert 590 < float(await small.database.fetchval(due)) <= 600
    small.zotero.headers = {}
    async with open_external() as http:
        fresh = Services.build(client)
        limiter = RateLimiter(0.0, permits=fresh.rate_limits, name="zotero")
        zotero = Zotero(HttpFetcher(http, FetchSettings("Broadsheet tests")), small.zotero.url, limiter)
        small.syncs = LibrarySync(fresh.library_syncs, fresh.items, zotero)
        requests = len(small.zotero.requests)
        with pytest.raises(SourceBusy):
            await small.sync()
        assert len(small.zotero.requests) == requests, "another process knows the pause"
        await small.database.execute("update public.rate_limits set next_at = now() where true")
        small.syncs = LibrarySync(
            fresh.library_syncs,
            fresh.items,
            Zotero(
                HttpFetcher(http, FetchSettings("Broadsheet tests")),
                small.zotero.url,
                RateLimiter(0.0, permits=fresh.rate_limits, name="zotero"),
            ),
        )
        await small.sync()
    assert "Glaciers change" in await small.papers()


@pytest.mark.parametrize(("headers", "seconds"), [({"Retry-After": "120"}, 120), ({}, 300)])
async def test_too_many_requests_postpone_the_sync(small: Connected, headers: dict[str, str], seconds: int) -> None:
    small.zotero.failures = [web.Response(status=429, headers=headers)]
    with pytest.raises(SourceBusy):
        await small.sync()
    due = "select extract(epoch from next_sync_at - now()) from public.reader_libraries"
    assert seconds - 10 < float(await small.database.fetchval(due)) <= seconds
    assert (len(await small.papers()), await small.problem()) == (5, None)


async def test_a_revoked_key_keeps_the_papers(small: Connected) -> None:
    small.zotero.keys.clear()
    await small.sync()
    library = await small.library()
    assert (library.problem_kind, len(await small.papers())) == (LibraryProblem.KEY_REFUSED, 5)
    assert library.failing_since is not None
    small.zotero.keys[KEY] = {"user": {"library": True}}
    await small.connect()
    await small.sync()
    assert await small.problem() is None


async def test_a_paper_that_the_reader_had_before_stays(client: AsyncClient, database: asyncpg.Connection) -> None:
    fake = FakeZotero()
    fake.fill(range(3))
    async with connected(client, database, fake) as library:
        papers = library.services.reader_papers
        mine = [PaperInput(keys=(f"doi:10.1000/ice.{n}",), doi=f"10.1000/ice.{n}", title=f"T{n}") for n in range(2)]
        await papers.put(library.reader_id, [(mine[0], {"liked": True}), (mine[1], {"liked": False})])
        await library.sync()
        found = {paper.doi: paper.liked for paper in (await library.papers()).values()}
        assert [found[f"10.1000/ice.{n}"] for n in range(3)] == [True, False, True], "the reader's own rating counts"
        for number in range(3):
            fake.remove(entry_key(number))
        fake.fill([7])
        await library.sync()
        left = {paper.doi for paper in (await library.papers()).values()}
        assert left == {"10.1000/ice.0", "10.1000/ice.1", "10.1000/ice.7"}


async def test_own_feedback_survives_the_removal_there(small: Connected) -> None:
    papers, found = small.services.reader_papers, await small.papers()
    ids = [found[f"The memory of glacier {number}"].paper_id for number in range(4)]
    feedback = ({"saved": True}, {"liked": True}, {"liked": False})
    for paper_id, change in zip(ids, feedback, strict=False):
        await papers.put(small.reader_id, [(paper_id, change)])  # type: ignore[list-item]  # (a mapping of each kind)
    for number in range(4):
        small.zotero.remove(entry_key(number))
    await small.sync()
    left = {paper.paper_id: (paper.liked, paper.saved_at is not None) for paper in (await small.papers()).values()}
    expected = {ids[0]: (None, True), ids[1]: (True, False), ids[2]: (False, False)}
    assert {paper_id: left.get(paper_id) for paper_id in ids[:3]} == expected
    assert ids[3] not in left
    assert len(left) == 4


async def test_a_paper_removed_here_does_not_return(small: Connected) -> None:
    removed = (await small.papers())["The memory of glacier 1"]
    await small.services.reader_papers.remove(small.reader_id, removed.paper_id)
    small.zotero.put(1, "The memory of glacier 1", doi="10.1000/ice.1")
    await small.sync()
    assert "The memory of glacier 1" not in await small.papers()
    assert (await small.library()).removed == 1


async def test_two_entries_of_one_paper_are_one_paper(small: Connected) -> None:
    small.zotero.put(9, "The memory of glacier 1", doi="10.1000/ice.1")
    await small.sync()
    assert len(await small.papers()) == 5
    small.zotero.remove(entry_key(1))
    await small.sync()
    assert "The memory of glacier 1" in await small.papers(), "the other entry still has it"
    small.zotero.remove(entry_key(9))
    await small.sync()
    assert "The memory of glacier 1" not in await small.papers()


async def test_notes_are_no_papers(small: Connected) -> None:
    small.zotero.put(8, "Shopping list", item_type="note")
    small.zotero.put(9, "Scan", item_type="attachment")
    await small.sync()
    library = await small.library()
    assert (library.papers, library.rejected, len(await small.papers())) == (5, 2, 5)


async def test_an_entry_that_becomes_another_paper_moves(small: Connected) -> None:
    small.zotero.put(1, "A different paper", doi="10.1000/other")
    await small.sync()
    papers = await small.papers()
    assert ("A different paper" in papers, "The memory of glacier 1" in papers) == (True, False)


@pytest.mark.parametrize("keep", [True, False])
async def test_disconnecting_removes_or_keeps_the_papers(small: Connected, keep: bool) -> None:
    assert await small.services.libraries.disconnect(small.reader_id, keep_papers=keep)
    assert len(await small.papers()) == (5 if keep else 0)
    key = "select library_key from public.readers_private where reader_id = $1"
    assert await small.database.fetchval(key, small.reader_id) is None
    assert not await small.syncs.run_next()


async def test_another_library_replaces_the_papers(small: Connected) -> None:
    assert await small.services.libraries.connect(small.reader_id, GROUP, [], SecretStr(KEY))
    assert await small.papers() == {}


async def test_a_sync_ends_when_the_library_is_connected_again(small: Connected) -> None:
    claimed = await small.services.library_syncs.claim(small.reader_id)
    assert claimed is None, "it is not due"
    small.zotero.put(9, "Glaciers change")
    statement = "update public.reader_libraries set claim_token = gen_random_uuid() where true"

    async def steal() -> None:
        await small.database.execute(statement)

    original = small.services.library_syncs.versions

    async def stolen(token: UUID) -> dict[str, int]:
        await steal()
        return await original(token)

    small.syncs._syncs.versions = stolen  # type: ignore[method-assign]  # noqa: SLF001  (a claim ends at any step)
    await small.sync()
    assert len(await small.papers()) == 5


async def test_every_library_that_is_due_is_synced(client: AsyncClient, database: asyncpg.Connection) -> None:
    fake = FakeZotero()
    fake.fill(range(2))
    async with connected(client, database, fake) as library:
        others = [(await add_reader(client)).reader_id for _ in range(3)]
        for reader in others:
            await library.services.libraries.connect(reader, fake.library, [], SecretStr(KEY))
        await LibrarySyncer(library.syncs, random=Random(1)).run_once()
        counts = await database.fetch("select reader_id, count(*) from public.reader_papers group by reader_id")
        assert {row["reader_id"]: row["count"] for row in counts} == dict.fromkeys([library.reader_id, *others], 2)
