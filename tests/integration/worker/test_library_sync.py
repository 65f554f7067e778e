"""A connected library: what a sync requests, and what becomes of changes and of responses that cannot be used."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest
from aiohttp import web
from supabase import AsyncClient

from app.errors import SourceBusy
from app.external.client import open_external
from app.persistence.reader_libraries import LibraryProblem
from app.services import Services
from app.sources.zotero import MAX_BYTES
from tests.support.connected_library import Connected, connected, sync_of
from tests.support.fake_zotero import GROUP, KEY, FakeZotero, entry_key

MANY = 1_100
"""More than the 1,000 rows that a response of Supabase has."""


async def test_a_library_of_1100_papers_is_synced(client: AsyncClient, database: asyncpg.Connection) -> None:
    fake = FakeZotero()
    fake.fill(range(MANY))
    async with connected(client, database, fake) as library:
        assert await library.sync() == ["items/top", *(["items"] * (MANY // 50))]
        papers = await library.papers()
        assert len(papers) == MANY
        assert {(paper.origin, paper.liked) for paper in papers.values()} == {("zotero", True)}
        assert papers["The memory of glacier 0"].url == f"https://ice.example/{entry_key(0)}"
        assert (await library.library()).papers == MANY
        assert await library.sync() == ["items/top"], "an unchanged library takes one request"
        fake.put(7, "Glaciers forget", doi="10.1000/ice.7", abstract="Layers melt.")
        fake.remove(entry_key(8))
        assert await library.sync() == ["items/top", "items"]
        papers = await library.papers()
        assert len(papers) == MANY - 1
        assert papers["Glaciers forget"].abstract == "Layers melt."
        assert not {"The memory of glacier 7", "The memory of glacier 8"} & papers.keys()
        assert (await library.library()).synced_at is not None


@pytest.mark.parametrize("patterns", [(), ("Ice",)])
async def test_a_sync_asks_only_for_what_is_newer(
    patterns: tuple[str, ...], client: AsyncClient, database: asyncpg.Connection
) -> None:
    """Zotero then responds 304 without a body, and not with a list of all versions."""
    fake = FakeZotero()
    fake.fill([1], collections=frozenset({fake.collect("ICE00000", "Ice")}))
    async with connected(client, database, fake, *patterns) as library:
        await library.sync()
        assert "If-Modified-Since-Version" not in fake.requests[0].headers
        await library.sync()
        assert fake.requests[-1].headers["If-Modified-Since-Version"] == str(fake.version)


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


async def test_a_collection_deleted_during_a_sync_refuses_no_key(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    fake = FakeZotero()
    thesis = fake.collect("THESIS00", "Thesis")
    gone = fake.collect("GONE0000", "Gone")
    fake.fill([1], collections=frozenset({thesis}))
    async with connected(client, database, fake, "*") as library:

        def delete(request: web.Request) -> None:
            if gone in request.path and gone in fake.collections:
                fake.version += 1
                del fake.collections[gone]

        fake.before = delete
        await library.sync()
        assert await library.problem() is None
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


async def test_entries_that_are_too_large_together_are_read(small: Connected) -> None:
    for number in range(5, 50):
        small.zotero.put(number, f"Ice core {number}", abstract="x" * 100_000)
    await small.sync()
    assert len(await small.papers()) == 50


async def test_an_entry_that_is_too_large_is_rejected_alone(small: Connected) -> None:
    small.zotero.put(5, "Everything about ice", abstract="x" * MAX_BYTES)
    small.zotero.put(6, "Ice melts")
    await small.sync()
    library = await small.library()
    assert "Ice melts" in await small.papers()
    assert (library.rejected, library.problem_kind) == (1, None)
    assert await small.sync() == ["items/top"], "it is not read again until it changes"


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
    async with next_sync_after(small, timedelta(minutes=1)):
        await small.sync()
    library = await small.library()
    assert (library.is_syncing, library.problem, len(await small.papers())) == (False, None, 5)


@asynccontextmanager
async def next_sync_after(small: Connected, pause: timedelta) -> AsyncIterator[None]:
    """The sync in the block ends so that the next one is due after `pause`."""
    before = await small.database.fetchval("select clock_timestamp()")
    yield
    after, due = await small.database.fetchrow("select clock_timestamp(), next_sync_at from public.reader_libraries")
    assert before + pause - (after - before) <= due <= after + pause


async def sync_is_postponed(small: Connected, seconds: int) -> None:
    """Sync while Zotero requires a pause of some seconds; the next sync is due when they have passed."""
    async with next_sync_after(small, timedelta(seconds=seconds)):
        with pytest.raises(SourceBusy):
            await small.sync()


def refuse_the_key(fake: FakeZotero) -> None:
    fake.keys.clear()


def fail(fake: FakeZotero) -> None:
    fake.failures = [web.Response(status=500)]


def become_empty(fake: FakeZotero) -> None:
    fake.items = {}
    fake.version += 1


@pytest.mark.parametrize(
    ("change", "pause"),
    [
        (lambda _: None, timedelta(hours=1)),
        (become_empty, timedelta(hours=1)),
        (fail, timedelta(minutes=10)),
        # Zotero blocks addresses that send several wrong keys.
        (refuse_the_key, timedelta(days=1)),
    ],
    ids=["unchanged", "empty", "failure", "refused key"],
)
async def test_each_end_of_a_sync_has_its_pause(
    change: Callable[[FakeZotero], None], pause: timedelta, small: Connected
) -> None:
    change(small.zotero)
    async with next_sync_after(small, pause):
        await small.sync()


async def test_backoff_delays_the_next_request_of_any_library(small: Connected, client: AsyncClient) -> None:
    small.zotero.headers = {"Backoff": "600"}
    small.zotero.put(9, "Glaciers change")
    await sync_is_postponed(small, 600)
    assert small.zotero.paths[-1] == "items/top", "nothing was requested after the response with Backoff"
    small.zotero.headers = {}
    async with open_external() as http:
        small.syncs = sync_of(Services.build(client), small.zotero, http)
        requests = len(small.zotero.requests)
        with pytest.raises(SourceBusy):
            await small.sync()
        assert len(small.zotero.requests) == requests, "another process knows the pause"
        await small.database.execute("update public.rate_limits set next_at = now() where true")
        small.syncs = sync_of(Services.build(client), small.zotero, http)
        await small.sync()
    assert "Glaciers change" in await small.papers()


@pytest.mark.parametrize(("headers", "seconds"), [({"Retry-After": "120"}, 120), ({}, 300)])
async def test_too_many_requests_postpone_the_sync(small: Connected, headers: dict[str, str], seconds: int) -> None:
    small.zotero.failures = [web.Response(status=429, headers=headers)]
    await sync_is_postponed(small, seconds)
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
