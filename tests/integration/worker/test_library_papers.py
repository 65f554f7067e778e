"""Papers of a connected library, and what the reader does with them here: nothing of the reader's own is lost."""

from random import Random

import asyncpg
import pytest
from aiohttp import web
from pydantic import SecretStr
from supabase import AsyncClient

from app.persistence.reader_papers import FeedbackChange, PaperInput
from app.ranking.vectors import MARK
from tests.support.connected_library import Connected, connected
from tests.support.fake_zotero import GROUP, KEY, FakeZotero, entry_key
from tests.support.schedule import add_reader
from worker.periodic.library_syncs import LibrarySyncer


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
    feedback: list[FeedbackChange] = [{"saved": True}, {"liked": True}, {"liked": False}]
    for paper_id, change in zip(ids, feedback, strict=False):
        await papers.put(small.reader_id, [(paper_id, change)])
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
    small.zotero.put(9, "Glaciers change")
    small.zotero.put(10, "Glaciers return")
    ended: list[str] = []

    def connect_again(request: web.Request) -> None:
        if request.path.endswith("/items") and not ended:
            ended.append(request.path)
            small.zotero.hold = small.connect("Nothing")

    small.zotero.before = connect_again
    await small.sync()
    assert ended
    assert "Glaciers change" not in await small.papers(), "the sync of the earlier connection has no effect"


async def test_an_abstract_that_was_looked_up_stays(client: AsyncClient, database: asyncpg.Connection) -> None:
    fake = FakeZotero()
    fake.put(1, "Glaciers", doi="10.1000/ice.1")
    async with connected(client, database, fake) as library:
        await library.sync()
        found = PaperInput(
            keys=("doi:10.1000/ice.1",), doi="10.1000/ice.1", title="Glaciers", abstract="Layers of ice."
        )
        papers = library.services.reader_papers
        await papers.record_looked_up([], [found], dois=["10.1000/ice.1"])
        fake.put(1, "Glaciers remember", doi="10.1000/ice.1")
        await library.sync()
        paper = (await library.papers())["Glaciers remember"]
        assert (paper.abstract, paper.liked) == ("Layers of ice.", True)
        outdated = await papers.outdated_vectors(MARK, 5)
        assert [paper.title for paper in outdated] == ["Glaciers remember"], "its vector is made again"
        fake.remove(entry_key(1))
        fake.put(2, "Another")
        await library.sync()
        assert set(await library.papers()) == {"Another"}


async def test_a_full_reader_gets_no_more_papers(small: Connected) -> None:
    await small.database.execute(
        "insert into public.reader_papers (reader_id, kind, title, abstract, authors, origin, vector, saved_at)"
        " select $1, 'paper', 'T' || n, '', '{}', 'manual', '', now() from generate_series(1, 19994) n",
        small.reader_id,
    )
    small.zotero.fill(range(10, 13))
    await small.sync()
    library = await small.library()
    assert (library.papers, library.rejected) == (6, 2)
    reasons = await small.database.fetch("select distinct rejection from public.library_entries where paper_id is null")
    assert [row["rejection"][:39] for row in reasons] == ["a reader has at most 20000 papers: remo"]


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
