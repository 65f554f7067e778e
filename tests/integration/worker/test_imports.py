"""Import tasks in a real worker: each entry is accounted for, attempts continue, and a cancellation ends it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from supabase import AsyncClient

from app.errors import SourceError
from app.imports.library import BIBTEX
from app.models.tasks import TaskKind, TaskStatus
from app.persistence.imports import EntryRow, Imports, LibraryReport
from app.persistence.outcomes import Lease
from app.persistence.reader_papers import BulkFeedback, ReaderPapers
from app.persistence.tasks import TaskStateManager
from tests.support.database_reset import database_reset
from tests.support.generated_libraries import GeneratedLibrary, libraries
from tests.support.importer import import_handler
from tests.support.imports import bibtex, uploaded
from tests.support.items import ARXIV, copy, save
from tests.support.reader_mails import AT_ONCE
from tests.support.running_worker import StartWorker, until, until_ended
from tests.support.schedule import add_reader
from worker.handlers.library_import import BATCH

ALL_KINDS = b"""
@article{a, title={Sch{\\"o}dinger and his cat}, journal={J. Cats}, year=1935, abstract={A cat.}}
@misc{lost, year=1}
@misc{b, doi={10.1038/ice}}
@misc{c, eprint={2611.00001}, archiveprefix={arXiv}}
@misc{a, title={Sch{\\"o}dinger and his cat}}
"""


@pytest.fixture
async def reader(client: AsyncClient) -> UUID:
    return (await add_reader(client)).reader_id


async def imported(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID, *pieces: bytes, **changes: Any
) -> dict[str, Any]:
    task = await uploaded(client, reader, *pieces, **changes)
    row = await until_ended(database, task.task_id)
    assert row["status"] == "completed", row["error"]
    report: dict[str, Any] = json.loads(row["result"])
    return report


async def test_a_library_becomes_papers_and_a_report(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID, start_worker: StartWorker
) -> None:
    await save(client, copy(**ARXIV, title="Radar reads ice", abstract="All of it."))
    await start_worker({TaskKind.IMPORT: import_handler(client)})
    half = len(ALL_KINDS) // 2
    report = await imported(client, database, reader, ALL_KINDS[:half], ALL_KINDS[half:])
    (rejected,) = report.pop("rejections")
    assert report == {"entries": 5, "accepted": 3, "already_there": 1, "rejected": 1, "unread": None}
    assert (rejected["line"], rejected["key"]) == (3, "lost")
    papers = {paper.title: paper for paper in (await ReaderPapers(client).page(reader)).papers}
    assert set(papers) == {"Sch\u00f6dinger and his cat", "Radar reads ice", None}
    assert {(paper.origin, paper.liked) for paper in papers.values()} == {("library", True)}
    cat = papers["Sch\u00f6dinger and his cat"].publication
    assert cat is not None
    assert cat.container == "J. Cats"
    assert papers["Radar reads ice"].abstract == "All of it."


async def test_a_library_may_be_saved_without_a_rating(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID, start_worker: StartWorker
) -> None:
    await start_worker({TaskKind.IMPORT: import_handler(client)})
    await imported(client, database, reader, b"10.1038/ice\n2611.00001\n", feedback=BulkFeedback.SAVED)
    saved = (await ReaderPapers(client).saved(reader)).papers
    assert {(paper.doi, paper.arxiv_id, paper.liked) for paper in saved} == {
        (None, "2611.00001", None),
        ("10.1038/ice", None, None),
    }


async def test_a_file_of_another_kind_fails_with_its_reason(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID, start_worker: StartWorker
) -> None:
    await start_worker({TaskKind.IMPORT: import_handler(client)})
    task = await uploaded(client, reader, b"%PDF-1.7 not a library")
    row = await until_ended(database, task.task_id)
    assert (row["status"], row["attempt"]) == ("failed", 1)
    assert "neither BibTeX" in row["error"]


async def test_beyond_the_limit_of_entries_the_report_says_so(
    client: AsyncClient,
    database: asyncpg.Connection,
    reader: UUID,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.imports.library.MAX_ENTRIES", 150)
    await start_worker({TaskKind.IMPORT: import_handler(client)})
    report = await imported(client, database, reader, bibtex(160).encode())
    assert (report["entries"], report["accepted"]) == (150, 150)
    assert "more than 150 entries" in report["unread"]


class InterruptedImports(Imports):
    """After `batches` recorded batches, `interrupt` is awaited; the attempt that it fails in is over."""

    def __init__(self, client: AsyncClient, batches: int, interrupt: Callable[[], Awaitable[object]]) -> None:
        super().__init__(client)
        self._left = batches
        self._interrupt = interrupt

    async def record(self, lease: Lease, first: int, entries: Sequence[EntryRow]) -> LibraryReport:
        report = await super().record(lease, first, entries)
        self._left -= 1
        if self._left == 0:
            await self._interrupt()
        return report


async def test_another_attempt_continues_with_the_same_report(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID, start_worker: StartWorker
) -> None:
    async def fail() -> None:
        raise SourceError("the first attempt ends here")

    handler = import_handler(client, imports=InterruptedImports(client, 2, fail))
    await start_worker({TaskKind.IMPORT: handler}, retry_delay=lambda *_: AT_ONCE)
    task = await uploaded(client, reader, bibtex(450, broken=20).encode())
    row = await until_ended(database, task.task_id)
    report = json.loads(row["result"])
    counts = {name: report[name] for name in ("entries", "accepted", "already_there", "rejected")}
    assert row["attempt"] == 2
    assert counts == {"entries": 450, "accepted": 430, "already_there": 0, "rejected": 20}
    assert len(report["rejections"]) == 20
    assert await database.fetchval("select count(*) from public.reader_papers") == 430


async def test_a_running_import_is_cancelled_between_batches(
    client: AsyncClient, database: asyncpg.Connection, reader: UUID, start_worker: StartWorker
) -> None:
    begun = asyncio.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    await start_worker({TaskKind.IMPORT: import_handler(client, imports=InterruptedImports(client, 1, wait))})
    task = await uploaded(client, reader, bibtex(2 * BATCH).encode())
    await begun.wait()
    await TaskStateManager(client).cancel_task(task.task_id)
    row = await until_ended(database, task.task_id)
    assert row["status"] == TaskStatus.CANCELLED
    assert await database.fetchval("select count(*) from public.reader_papers") == BATCH
    await until(database, "select not exists (select from public.upload_pieces)")


@given(library=libraries())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_entry_of_a_generated_library_is_counted(
    library: GeneratedLibrary, client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    await database_reset(database)
    worker = await start_worker({TaskKind.IMPORT: import_handler(client)})
    reader = (await add_reader(client)).reader_id
    report = await imported(client, database, reader, *library.pieces, media_type=BIBTEX)
    await worker.stop()
    counted = tuple(report[name] for name in ("entries", "accepted", "already_there", "rejected"))
    assert counted == (library.entries, library.papers, library.repeated, library.rejected), library
    assert await database.fetchval("select count(*) from public.reader_papers") == library.papers
    assert {rejection["key"] for rejection in report["rejections"]} == library.rejected_keys
