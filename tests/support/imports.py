"""Uploads of libraries that are complete, and their imports, without an API and a worker."""

from uuid import UUID, uuid4

import asyncpg
from supabase import AsyncClient

from app.models.tasks import Task, TaskKind
from app.persistence.idempotency_keys import CallerKey
from app.persistence.imports import EntryRow, accepted_row
from app.persistence.new_task import NewTask
from app.persistence.reader_papers import BulkFeedback, PaperInput
from app.persistence.uploads import Uploads

MAX_PAPERS = 20_000


async def uploaded(
    client: AsyncClient,
    reader_id: UUID,
    *pieces: bytes,
    owner: str = "default",
    key: CallerKey | None = None,
    feedback: BulkFeedback = BulkFeedback.LIKED,
    media_type: str = "",
    max_attempts: int = 5,
) -> Task:
    """Store a file and create its import."""
    uploads, task_id = Uploads(client), uuid4()
    await uploads.open(task_id, owner, reader_id, key)
    for number, piece in enumerate(pieces):
        await uploads.append(task_id, number, piece)
    payload = {"reader_id": str(reader_id), "feedback": feedback.value, "media_type": media_type}
    task = NewTask(task_id, TaskKind.IMPORT, payload, None, key=key, max_attempts=max_attempts)
    return await uploads.finish(task, owner, reader_id, len(pieces))


async def fill_papers(database: asyncpg.Connection, reader_id: UUID, count: int = MAX_PAPERS) -> None:
    """Store as many papers for a reader as the limit allows, or `count`."""
    await database.execute(
        "insert into public.reader_papers"
        " (reader_id, kind, title, abstract, authors, origin, vector, liked, rated_at)"
        " select $1, 'paper', 'T' || n, '', '{}', 'manual', '', true, now() from generate_series(1, $2) n",
        reader_id,
        count,
    )


def entry(number: int, **changes: object) -> EntryRow:
    """A paper's entry with its own DOI."""
    values = {"keys": (f"doi:10.1/{number}",), "doi": f"10.1/{number}", "title": f"Paper {number}"}
    return accepted_row(number, f"k{number}", PaperInput.model_validate(values | changes), {"liked": True})


def bibtex(entries: int, *, first: int = 0, broken: int = 0) -> str:
    """A library of `entries` papers with abstracts; the last `broken` ones have nothing that names a paper."""
    numbers = range(first, first + entries)
    sound = "\n".join(
        f"@article{{key{number},\n  title = {{Paper number {number} of a long library about ice}},\n"
        f"  author = {{Curie, Marie and Noether, Emmy}},\n  year = {{2021}},\n  doi = {{10.5555/lib.{number}}},\n"
        f"  abstract = {{The ice sheet number {number} melts, and radar measures its depth every day.}}\n}}"
        for number in numbers[: entries - broken]
    )
    lost = "\n".join(f"@article{{key{number}, year = {{2021}}}}" for number in numbers[entries - broken :])
    return f"{sound}\n{lost}\n"
