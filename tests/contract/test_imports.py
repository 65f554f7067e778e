"""Imports of libraries: each entry is counted once, whatever is repeated, and another worker's writes do not count."""

from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import LeaseLost, PermanentError
from app.persistence.imports import Imports, rejected_row
from app.persistence.outcomes import Completed, Lease
from app.persistence.reader_papers import PaperInput, ReaderPapers
from tests.support.feedback import rate, rated
from tests.support.imports import entry, uploaded
from tests.support.schedule import add_reader
from tests.support.tasks import Claimer

PAPERS = "select count(*) from public.reader_papers"
LIMIT = 20_000


@pytest.fixture
async def reader(client: AsyncClient) -> UUID:
    return (await add_reader(client)).reader_id


@pytest.fixture
async def lease(client: AsyncClient, reader: UUID) -> Lease:
    """The lease of an import that is running."""
    await uploaded(client, reader, b"a")
    lease = (await Claimer(client).claim_one()).lease
    await Imports(client).begin(lease.task_id, "1")
    return lease


def counts(report: object) -> tuple[int, ...]:
    return tuple(getattr(report, name) for name in ("entries", "accepted", "already_there", "rejected"))


async def test_each_entry_is_new_already_there_or_rejected(client: AsyncClient, reader: UUID, lease: Lease) -> None:
    known = PaperInput(keys=("doi:10.1/1",), doi="10.1/1", title="Paper 1")
    await rate(ReaderPapers(client), reader, known, True)
    rows = [entry(1), entry(2), entry(2), rejected_row(7, "k", "no title")]
    report = await Imports(client).record(lease, 0, rows)
    assert counts(report) == (4, 1, 2, 1)
    assert [each.model_dump() for each in report.rejections] == [{"line": 7, "key": "k", "reason": "no title"}]
    assert len((await ReaderPapers(client).page(reader)).papers) == 2


async def test_what_the_database_refuses_is_a_rejected_entry(client: AsyncClient, lease: Lease) -> None:
    rows = [entry(1), entry(2, title="x" * 301), entry(3, authors=tuple("x" * 101)), entry(4)]
    report = await Imports(client).record(lease, 0, rows)
    assert counts(report) == (4, 2, 0, 2)
    assert [each.line for each in report.rejections] == [2, 3]
    assert all("the database does not accept it: " in each.reason for each in report.rejections)


async def test_beyond_a_readers_limit_entries_are_rejected(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID, lease: Lease
) -> None:
    await database.execute(
        "insert into public.reader_papers (reader_id, kind, title, abstract, authors, origin, vector, saved_at)"
        " select $1, 'paper', 'T' || n, '', '{}', 'library', '', now() from generate_series(3, $2) n",
        reader,
        LIMIT,
    )
    report = await Imports(client).record(lease, 0, [entry(1), entry(2), entry(3), entry(1)])
    assert counts(report) == (4, 2, 1, 1)
    assert "at most 20000 papers" in report.rejections[0].reason
    assert await database.fetchval(PAPERS) == LIMIT


async def test_repeated_entries_are_recorded_once(
    client: AsyncClient, database: asyncpg.Connection, lease: Lease
) -> None:
    imports = Imports(client)
    first = await imports.record(lease, 0, [entry(1), entry(2)])
    assert await imports.record(lease, 0, [entry(1), entry(2)]) == first
    assert await imports.record(lease, 1, [entry(2), entry(3)]) == first
    assert await database.fetchval(PAPERS) == 2
    assert counts(await imports.record(lease, 2, [entry(3)])) == (3, 3, 0, 0)


async def test_another_attempt_continues_with_the_same_counts(client: AsyncClient, lease: Lease) -> None:
    imports = Imports(client)
    report = await imports.record(lease, 0, [entry(1), rejected_row(2, "", "no")])
    assert counts(await imports.begin(lease.task_id, "1")) == counts(report)
    begun = await imports.begin(lease.task_id, "2")
    assert (counts(begun), begun.rejections, begun.pieces) == ((0, 0, 0, 0), (), 1)
    assert counts(await imports.record(lease, 0, [entry(1), rejected_row(2, "", "no")])) == (2, 0, 1, 1)


async def test_only_the_holder_of_the_lease_records_entries(
    client: AsyncClient, database: asyncpg.Connection, lease: Lease
) -> None:
    imports = Imports(client)
    with pytest.raises(LeaseLost):
        await imports.record(Lease(lease.task_id, uuid4()), 0, [entry(1)])
    await Claimer(client).sync({lease: Completed({})})
    with pytest.raises(LeaseLost):
        await imports.record(lease, 0, [entry(1)])
    assert await database.fetchval(PAPERS) == 0


async def test_an_import_without_its_file_cannot_begin(client: AsyncClient, lease: Lease) -> None:
    imports = Imports(client)
    await Claimer(client).sync({lease: Completed({})})
    for call in (imports.begin(lease.task_id, "1"), imports.piece(lease.task_id, 0)):
        with pytest.raises(PermanentError, match="upload it again"):
            await call


async def test_the_first_500_rejected_entries_are_listed(client: AsyncClient, lease: Lease) -> None:
    rows = [rejected_row(line, "k" * 120, "no " * 200) for line in range(501)]
    report = await Imports(client).record(lease, 0, rows)
    assert (report.rejected, len(report.rejections), report.rejections[-1].line) == (501, 500, 499)
    assert {len(each.reason) for each in report.rejections} == {300}


async def add_papers(database: asyncpg.Connection, reader: UUID, count: int, **columns: str) -> None:
    """Add liked papers; each column's value may contain the paper's number `n`."""
    values = {"title": "'T' || n", "abstract": "'A'", "origin": "'arxiv'", "rated_at": "now()", "published_at": "null"}
    values |= {"vector": "'2:AA'", "liked": "true"} | columns
    await database.execute(
        f"insert into public.reader_papers (reader_id, kind, authors, {', '.join(values)})"
        f" select $1, 'paper', '{{}}', {', '.join(values.values())} from generate_series(1, $2) n",
        reader,
        count,
    )


async def titles(client: AsyncClient, reader: UUID) -> list[str]:
    return [paper.title for paper in await rated(client, reader)]


async def test_a_library_does_not_displace_feedback_on_digests(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    await add_papers(database, reader, 300, title="'shown' || n", rated_at="now() - n * interval '1 day'")
    await add_papers(database, reader, 5_000, title="'library' || n", origin="'library'")
    found = await titles(client, reader)
    shown = [title for title in found if title.startswith("shown")]
    assert (len(found), len(shown)) == (400, 200)
    assert set(shown) == {f"shown{n}" for n in range(1, 201)}


async def test_the_most_informative_papers_of_a_library_count(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID
) -> None:
    old, new = "'2001-01-01'::timestamptz + n * interval '1 day'", "'2025-01-01'::timestamptz + n * interval '1 day'"
    library = {"origin": "'library'"}
    await add_papers(database, reader, 300, title="'new' || n", published_at=new, **library)
    await add_papers(database, reader, 300, title="'old' || n", published_at=old, **library)
    await add_papers(database, reader, 300, title="'bare' || n", published_at=new, abstract="''", **library)
    await add_papers(database, reader, 1, title="'disliked'", abstract="''", liked="false", **library)
    found = set(await titles(client, reader))
    expected = {f"new{n}" for n in range(1, 301)} | {f"old{n}" for n in range(202, 301)} | {"disliked"}
    assert found == expected
