"""What a reader says of papers: each paper once, under all of its names, for that reader alone."""

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import InvalidCursor, PaperNotFound, ReaderNotFound, TooManyPapers
from app.models.articles import Article, Publication
from app.models.item_keys import item_keys
from app.persistence.reader_papers import PaperInput, ReaderPapers
from app.persistence.readers import Readers
from app.ranking.reader_paper import paper_of
from tests.contract.deadlocks import deadlocks
from tests.support.feedback import rate, rated
from tests.support.imports import MAX_PAPERS, fill_papers
from tests.support.items import ARXIV, TITLE, copy, save
from tests.support.schedule import add_reader
from tests.support.tasks import somebody_waits

PAPER = copy(**ARXIV, title=TITLE, abstract="Of storms.")
OF_A_DOI = copy(external_id="n", doi="10.1038/x", title="Storms, and what networks have to say of them")
NAMESAKE = copy(source="arxiv", external_id="2611.00002", arxiv_id="2611.00002", title=TITLE)


@pytest.fixture
async def reader(client: AsyncClient) -> UUID:
    return (await add_reader(client)).reader_id


async def said(client: AsyncClient, reader: UUID, *articles: Article) -> list[Any]:
    """What the reader says of each article: (liked, saved)."""
    found = await ReaderPapers(client).feedback_on(reader, [item_keys(article) for article in articles])
    return [(each.liked, each.saved) for each in found]


async def test_feedback_applies_to_the_paper_for_every_copy_of_it(client: AsyncClient, reader: UUID) -> None:
    papers = ReaderPapers(client)
    await rate(papers, reader, paper_of(PAPER), True)
    copies = (copy(title=TITLE), copy(external_id="z", doi="10.48550/arxiv.2611.00001"), OF_A_DOI, NAMESAKE)
    assert await said(client, reader, *copies) == [(True, False), (True, False), (None, False), (None, False)]
    # What the articles say makes two names one, also afterwards.
    await save(client, copy(external_id="both", arxiv_id="2611.00001", doi="10.1038/x"))
    assert await said(client, reader, OF_A_DOI) == [(True, False)]
    assert await rate(papers, reader, paper_of(OF_A_DOI), None) is None
    assert (await papers.page(reader)).papers == ()
    assert await said(client, (await add_reader(client)).reader_id, PAPER) == [(None, False)]


async def test_each_change_of_a_saved_paper_changes_the_version(client: AsyncClient, reader: UUID) -> None:
    papers = ReaderPapers(client)
    versions = {await papers.saved_version(reader)}
    await papers.save(reader, paper_of(PAPER), True)
    versions.add(await papers.saved_version(reader))
    await rate(papers, reader, paper_of(PAPER), True)
    assert await papers.saved_version(reader) not in versions
    assert len(versions) == 2


async def test_the_doi_of_an_arxiv_paper_is_not_looked_up(client: AsyncClient, reader: UUID) -> None:
    papers = ReaderPapers(client)
    both = PaperInput(keys=("arxiv:2611.1", "doi:10.1038/x"), arxiv_id="2611.1", doi="10.1038/x")
    await rate(papers, reader, both, True)
    assert await papers.dois_to_look_up(10) == []
    await papers.record_looked_up([], [], dois=["10.1038/x"])
    (paper,) = (await papers.page(reader)).papers
    assert paper.looked_up_at is None


async def test_merged_papers_keep_the_feedback_of_both(client: AsyncClient, reader: UUID) -> None:
    papers = ReaderPapers(client)
    await rate(papers, reader, paper_of(OF_A_DOI), False)
    await papers.save(reader, paper_of(OF_A_DOI), True)
    await rate(papers, reader, paper_of(PAPER), True)
    await rate(papers, reader, paper_of(NAMESAKE), False)
    both = copy(external_id="both", arxiv_id="2611.00001", doi="10.1038/x", title="One name for both of these")
    paper_id = await papers.save(reader, paper_of(both), True)
    assert paper_id is not None
    one = await papers.get(reader, paper_id)
    assert (one.liked, one.arxiv_id, one.doi, one.abstract) == (True, "2611.00001", "10.1038/x", "Of storms.")
    assert one.saved_at is not None
    assert await said(client, reader, PAPER, OF_A_DOI, both, NAMESAKE) == [(True, True)] * 3 + [(False, False)]


async def test_a_paper_keeps_its_most_complete_publication(client: AsyncClient, reader: UUID) -> None:
    papers, bare = ReaderPapers(client), Publication(entry_type="misc", date="2026")
    article = Publication(entry_type="article", container="J. Storms", volume="3", pages="1-9", date="2026-11")
    other = Publication(entry_type="article", container="J. Rain", volume="7", pages="2-4", date="2025-01")
    for publication, kept in ((None, None), (bare, bare), (article, article), (other, article), (None, article)):
        for _ in range(2):
            paper_id = await papers.save(reader, paper_of(PAPER, publication), True)
            assert paper_id is not None
            assert (await papers.get(reader, paper_id)).publication == kept
    assert (await papers.saved(reader)).papers[0].publication == article


async def test_merged_papers_keep_the_more_complete_publication(client: AsyncClient, reader: UUID) -> None:
    papers, bare = ReaderPapers(client), Publication(entry_type="misc", date="2026")
    article = Publication(entry_type="article", container="J. Storms", volume="3", date="2026-11")
    await papers.save(reader, paper_of(PAPER, bare), True)
    await papers.save(reader, paper_of(OF_A_DOI, article), True)
    both = copy(external_id="both", arxiv_id="2611.00001", doi="10.1038/x", title="One name for both of these")
    paper_id = await papers.save(reader, paper_of(both), True)
    (one,) = (await papers.page(reader)).papers
    assert (one.paper_id, one.publication) == (paper_id, article)


async def test_feedback_is_repeated_and_removed_by_the_papers_id(client: AsyncClient, reader: UUID) -> None:
    papers = ReaderPapers(client)
    bare = PaperInput(keys=("arxiv:2611.00001",), arxiv_id="2611.00001")
    (paper_id,) = await papers.put(reader, [(bare, {"liked": True, "saved": True})])
    assert paper_id is not None
    before = await papers.get(reader, paper_id)
    assert (before.title, await rated(client, reader)) == (None, ())
    assert await rate(papers, reader, paper_of(PAPER), True) == paper_id
    after = await papers.get(reader, paper_id)
    assert (after.title, after.rated_at, after.saved_at) == (TITLE, before.rated_at, before.saved_at)
    assert [paper.title for paper in await rated(client, reader)] == [TITLE]
    assert await rate(papers, reader, paper_id, None) == paper_id
    assert await papers.save(reader, paper_id, False) is None
    for gone in (paper_id, uuid4()):
        assert await rate(papers, reader, gone, True) is None
    with pytest.raises(PaperNotFound):
        await papers.get(reader, paper_id)


async def test_feedback_on_another_readers_paper_is_refused(client: AsyncClient, reader: UUID) -> None:
    papers, other = ReaderPapers(client), (await add_reader(client)).reader_id
    theirs = await rate(papers, other, paper_of(PAPER), True)
    assert theirs is not None
    assert await rate(papers, reader, theirs, False) is None
    assert (await papers.get(other, theirs)).liked


async def test_papers_are_paged_newest_first(client: AsyncClient, reader: UUID) -> None:
    papers, names = ReaderPapers(client), [f"Paper number {n} of all that there are" for n in range(7)]
    given = [paper_of(copy(external_id=name, title=name)) for name in names]
    await papers.put(reader, [(paper, {"liked": True}) for paper in given])
    for paper in reversed(given[:5]):
        await papers.save(reader, paper, True)
    for read, expected in ((papers.page, names[::-1]), (papers.saved, names[:5])):
        found, cursor = list[str | None](), None
        while found == [] or cursor is not None:
            page = await read(reader, limit=2, cursor=cursor)
            found, cursor = found + [paper.title for paper in page.papers], page.next_cursor
        assert found == expected
    with pytest.raises(InvalidCursor):
        await papers.saved(reader, cursor="x")


async def test_a_call_over_the_limit_of_papers_stores_nothing(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    papers = ReaderPapers(client)
    await fill_papers(database, reader, MAX_PAPERS - 1)
    first, last = [PaperInput(keys=(f"doi:10.1/{n}",), doi=f"10.1/{n}") for n in range(2)]
    await rate(papers, reader, first, True)
    with pytest.raises(TooManyPapers, match="at most 20000 papers"):
        await papers.put(reader, [(first, {"liked": False}), (last, {"liked": True})])
    assert [each.liked for each in await papers.feedback_on(reader, [first.keys, last.keys])] == [True, None]
    await rate(papers, reader, first, None)
    assert await rate(papers, reader, last, True) is not None


async def test_concurrent_feedback_under_several_names_is_one_paper(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    papers, before = ReaderPapers(client), await deadlocks(database)
    await save(client, PAPER, OF_A_DOI, copy(external_id="both", arxiv_id="2611.00001", doi="10.1038/x"))
    await asyncio.gather(
        *(rate(papers, reader, paper_of(article), True) for article in (PAPER, OF_A_DOI, copy(title=TITLE)) * 8),
        *(papers.save(reader, paper_of(article), True) for article in (OF_A_DOI, PAPER) * 8),
        # Many at once, the one in an order and the other in the other.
        *(papers.put(reader, [(paper_of(each), {"liked": True}) for each in pair]) for pair in _both_ways() * 4),
    )
    (one, other) = (await papers.page(reader)).papers
    assert {(one.title, one.saved_at is None), (other.title, other.saved_at is None)} == {
        (TITLE, False),
        ("Another one altogether, of other things", True),
    }
    assert await deadlocks(database) == before


async def test_feedback_waits_for_uncommitted_feedback_on_its_paper(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    papers, row = ReaderPapers(client), paper_of(PAPER).model_dump_json()
    async with database.transaction():
        await database.execute(
            "select public.upsert_reader_papers($1, jsonb_build_array($2::text::jsonb || '{\"liked\": true}'))",
            reader,
            row,
        )
        waiting = asyncio.create_task(papers.save(reader, paper_of(copy(title=TITLE)), True))
        await somebody_waits(database)
    await waiting
    (paper,) = (await papers.page(reader)).papers
    assert (paper.liked, paper.saved_at is None) == (True, False)


async def test_a_papers_removal_waits_for_feedback_on_it(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    papers = ReaderPapers(client)
    paper_id = await rate(papers, reader, paper_of(PAPER), True)
    assert paper_id is not None
    under_another_key = json.dumps([{"keys": [*item_keys(PAPER), "doi:10.1038/x"], "saved": True}])
    async with database.transaction():
        await database.execute("select from public.readers where reader_id = $1 for no key update", reader)
        removing = asyncio.create_task(papers.remove(reader, paper_id))
        await somebody_waits(database)
        added = await database.fetchval("select public.upsert_reader_papers($1, $2::jsonb)", reader, under_another_key)
        assert json.loads(added) == [str(paper_id)]
    await removing
    assert (await papers.page(reader)).papers == ()


def _both_ways() -> list[tuple[Article, ...]]:
    pair = (PAPER, copy(external_id="w", title="Another one altogether, of other things"))
    return [pair, pair[::-1]]


async def test_feedback_during_a_readers_removal_leaves_nothing(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    papers, before = ReaderPapers(client), await deadlocks(database)
    readers = [(await add_reader(client)).reader_id for _ in range(8)]
    votes = [rate(papers, reader, paper_of(PAPER), True) for reader in readers for _ in range(3)]
    answers = await asyncio.gather(
        *votes, *(Readers(client).remove(reader, "default") for reader in readers), return_exceptions=True
    )
    assert {type(answer) for answer in answers} <= {UUID, type(None), ReaderNotFound}
    with pytest.raises(ReaderNotFound):
        await rate(papers, readers[0], paper_of(PAPER), True)
    for table in ("reader_papers", "reader_paper_keys"):
        assert await database.fetchval(f"select count(*) from public.{table}") == 0
    assert await deadlocks(database) == before
