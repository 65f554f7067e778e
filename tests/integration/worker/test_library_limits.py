"""Limits of connected libraries: more entries than a reader may have, and the pauses that any response can require."""

from collections.abc import Callable

import pytest
from aiohttp import web
from supabase import AsyncClient

from app.errors import SourceBusy
from app.external.client import open_external
from app.persistence.reader_libraries import LibraryProblem
from app.services import Services
from tests.support.connected_library import Connected, sync_of
from tests.support.fake_zotero import FakeZotero, entry_key

MOST = 5
"""The entries of the library `small`."""


@pytest.fixture
async def limited(small: Connected, monkeypatch: pytest.MonkeyPatch) -> Connected:
    """A synced library with as many entries as a reader may have."""
    monkeypatch.setattr("app.libraries.reading.MAX_ENTRIES", MOST)
    return small


async def test_a_library_with_too_many_entries_is_cut(limited: Connected) -> None:
    limited.zotero.fill([*range(10, 13)])
    limited.zotero.remove(entry_key(4))
    await limited.sync()
    library, papers = await limited.library(), await limited.papers()
    assert (library.papers, library.problem_kind) == (MOST, LibraryProblem.TOO_MANY)
    assert library.problem == "The library has 2 entries more than 5, which were not read."
    assert sorted(papers) == [f"The memory of glacier {number}" for number in (0, 1, 10, 2, 3)]


async def test_papers_that_were_read_come_before_new_ones(limited: Connected) -> None:
    kept = limited.zotero.items.pop(entry_key(0))
    limited.zotero.version += 1
    await limited.sync()
    limited.zotero.fill([20])
    await limited.sync()
    limited.zotero.items[entry_key(0)] = kept
    limited.zotero.version += 1
    await limited.sync()
    assert "The memory of glacier 20" in await limited.papers()
    assert "The memory of glacier 0" not in await limited.papers()


async def test_the_limit_is_stated_until_the_library_fits(limited: Connected) -> None:
    limited.zotero.put(9, "Glaciers change", doi="10.1000/ice.9")
    await limited.sync()
    stated = await limited.library()
    assert await limited.sync() == ["items/top"]
    unchanged = await limited.library()
    assert (unchanged.problem_kind, unchanged.problem) == (LibraryProblem.TOO_MANY, stated.problem)
    assert unchanged.failing_since == stated.failing_since
    limited.zotero.remove(entry_key(0))
    await limited.sync()
    assert await limited.problem() is None
    assert "Glaciers change" in await limited.papers()


async def test_other_problems_end_with_an_unchanged_library(small: Connected, client: AsyncClient) -> None:
    small.zotero.failures = [web.Response(status=500)]
    await small.sync()
    assert await small.problem() is LibraryProblem.UNAVAILABLE
    await small.database.execute("update public.rate_limits set next_at = now() where true")
    async with open_external() as http:
        small.syncs = sync_of(Services.build(client), small.zotero, http)  # the old one waits for the end of a pause
        assert await small.sync() == ["items/top"]
    library = await small.library()
    assert (library.problem_kind, library.problem, library.failing_since) == (None, None, None)


def unchanged(fake: FakeZotero) -> None:
    fake.headers = {"Backoff": "600"}


def failing(fake: FakeZotero) -> None:
    fake.failures = [web.Response(status=500, headers={"Backoff": "600"})]


def refusing(fake: FakeZotero) -> None:
    fake.failures = [web.Response(status=403, headers={"Backoff": "600"})]


@pytest.mark.parametrize("respond", [unchanged, failing, refusing])
async def test_each_response_can_require_a_pause(
    small: Connected, client: AsyncClient, respond: Callable[[FakeZotero], None]
) -> None:
    respond(small.zotero)
    assert await small.sync() == ["items/top"]
    small.zotero.headers = {}
    async with open_external() as http:
        small.syncs = sync_of(Services.build(client), small.zotero, http)  # as in another process
        requests = len(small.zotero.requests)
        with pytest.raises(SourceBusy) as postponed:
            await small.sync()
    assert len(small.zotero.requests) == requests
    assert 0 < postponed.value.retry_after <= 600
