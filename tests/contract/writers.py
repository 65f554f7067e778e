"""Every kind of call that writes several rows, each time in another order."""

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar
from uuid import UUID, uuid4

import asyncpg
from pydantic import SecretStr
from supabase import AsyncClient

from app.errors import (
    LeaseLost,
    PermanentError,
    ReaderNotFound,
    SupabaseUnavailable,
    TaskNotFound,
    TooManyUploads,
    UploadInProgress,
    UploadRemoved,
)
from app.models.tasks import TaskKind
from app.persistence.deliveries import Deliveries, Send
from app.persistence.idempotency_keys import CallerKey
from app.persistence.imports import Imports, accepted_row
from app.persistence.library_syncs import ClaimEnded, LibrarySyncs, read_row
from app.persistence.maintenance import Maintenance
from app.persistence.new_task import NewTask
from app.persistence.operator import Actor, Operator
from app.persistence.outcomes import Cancelled, Completed, Failed, Lease, Outcome, Released
from app.persistence.own_data import OwnData
from app.persistence.queue import ClaimedTask, Progress
from app.persistence.reader_libraries import ReaderLibraries
from app.persistence.reader_papers import PaperInput, ReaderPapers
from app.persistence.readers import Readers
from app.persistence.schedule import Schedule
from app.persistence.tasks import TaskStateManager
from tests.support.database_reset import database_reset
from tests.support.fake_zotero import KEY, USER
from tests.support.imports import uploaded
from tests.support.mailer import FAILED, SENT
from tests.support.schedule import OWNER, written
from tests.support.tasks import Claimer, insert_tasks

T = TypeVar("T")
ADDRESS: Final = "all@example.org"
NAMES: Final = [f"reader-{n:02}" for n in range(12)]
ARXIV: Final = ["1", "2", "3"]
SEND_NOW: Final = (
    "update public.readers set send_at = date_trunc('minute', now() at time zone 'UTC' - interval '1 minute')::time"
    " where true"
)
DUE: Final = "update public.readers set next_due_at = now() - interval '1 minute' where external_id = any ($1)"
"""After `SEND_NOW`: a reader who should have got the digest hours before `next_due_at` gets none."""


@dataclass
class Writing:
    """The state of a writer: its order of rows, and tasks that it shares with another worker."""

    client: AsyncClient
    chance: random.Random
    running_tasks: tuple[ClaimedTask, ...] = ()
    key: str = "furnished"

    def shuffled(self, *items: T) -> list[T]:
        mixed = list(items)
        self.chance.shuffle(mixed)
        return mixed


Writer = Callable[[Writing], Awaitable[None]]


async def imports(writing: Writing) -> None:
    given = [{"external_id": name, "reader_id": str(uuid4()), "name": str(uuid4())} for name in [*NAMES, "new-1"]]
    rest = {"email": ADDRESS, "timezone": "UTC", "send_at": "07:00"}
    await Readers(writing.client).import_readers(OWNER, [each | rest for each in writing.shuffled(*given)])


async def bounces(writing: Writing) -> None:
    await Deliveries(writing.client).record_bounce([ADDRESS], "no such user", complaint=False)


async def looks_up(writing: Writing) -> None:
    found = [PaperInput(keys=(f"arxiv:{n}", f"title:t{n}"), arxiv_id=n, title=f"T{n}", abstract="A") for n in ARXIV]
    await ReaderPapers(writing.client).record_looked_up(writing.shuffled(*ARXIV), writing.shuffled(*found))


async def votes(writing: Writing) -> None:
    for reader in writing.shuffled(*await Readers(writing.client).page(OWNER))[:6]:
        papers = [PaperInput(keys=(f"arxiv:{n}",), arxiv_id=n) for n in writing.shuffled(*ARXIV)]
        with suppress(ReaderNotFound):
            await ReaderPapers(writing.client).put(reader.reader_id, [(paper, {"liked": True}) for paper in papers])


async def uploads(writing: Writing) -> None:
    for reader in writing.shuffled(*await Readers(writing.client).page(OWNER))[:4]:
        # An upload that is removed at its end is to be ended again, and then does not exist.
        with suppress(ReaderNotFound, UploadInProgress, UploadRemoved, TooManyUploads, SupabaseUnavailable):
            await uploaded(writing.client, reader.reader_id, b"a", b"b", owner=OWNER)


async def imports_libraries(writing: Writing) -> None:
    worker, libraries = Claimer(writing.client, kinds=[TaskKind.IMPORT]), Imports(writing.client)
    for task in await worker.claim(4):
        papers = [PaperInput(keys=(f"arxiv:{n}",), arxiv_id=n) for n in writing.shuffled(*ARXIV)]
        rows = [accepted_row(1, "", paper, {"liked": True}) for paper in papers]
        with suppress(PermanentError, LeaseLost):
            await libraries.begin(task.task_id, "1")
            await libraries.record(task.lease, 0, rows)
        ends: list[Outcome] = [Completed({}), Failed("no", None), Released()]
        await worker.sync({task.lease: writing.chance.choice(ends)})


async def connects(writing: Writing) -> None:
    for reader in writing.shuffled(*await Readers(writing.client).page(OWNER))[:4]:
        with suppress(ReaderNotFound):
            await ReaderLibraries(writing.client).connect(reader.reader_id, USER, [], SecretStr(KEY))


async def syncs_libraries(writing: Writing) -> None:
    syncs = LibrarySyncs(writing.client)
    for _ in range(4):
        token = uuid4()
        if await syncs.claim(token) is None:
            continue
        papers = [PaperInput(keys=(f"arxiv:{n}",), arxiv_id=n) for n in writing.shuffled(*ARXIV)]
        rows = [read_row(f"AAAAAA0{paper.arxiv_id}", 1, paper) for paper in papers]
        with suppress(ClaimEnded):
            await syncs.versions(token)
            await syncs.hold(token)
            await syncs.record(token, rows)
            await syncs.remove(token, [row["key"] for row in writing.shuffled(*rows)[:2]])
            await syncs.complete(token, 1, again=timedelta(0))


async def disconnects(writing: Writing) -> None:
    for reader in writing.shuffled(*await Readers(writing.client).page(OWNER))[:3]:
        await ReaderLibraries(writing.client).disconnect(reader.reader_id, keep_papers=writing.chance.random() < 0.5)


async def removes_papers(writing: Writing) -> None:
    papers = ReaderPapers(writing.client)
    for reader in writing.shuffled(*await Readers(writing.client).page(OWNER))[:6]:
        for paper in writing.shuffled(*(await papers.page(reader.reader_id)).papers)[:2]:
            await papers.remove(reader.reader_id, paper.paper_id)


async def schedules(writing: Writing) -> None:
    await Schedule(writing.client, batch=5).enqueue_due()


async def removes(writing: Writing) -> None:
    for reader in writing.shuffled(*await Readers(writing.client).page(OWNER))[:2]:
        await Readers(writing.client).remove(reader.reader_id, OWNER)


async def erases(writing: Writing) -> None:
    own_data = OwnData(writing.client)
    for reader in writing.shuffled(*await Readers(writing.client).page(OWNER))[:2]:
        link_id = uuid4()
        with suppress(ReaderNotFound):
            await own_data.request_link(link_id, reader.reader_id, "delete_link")
            await own_data.begin_erasure(link_id, reader.reader_id)
            while await own_data.erase(reader.reader_id) == "more":
                pass


async def works(writing: Writing) -> None:
    """End the shared tasks and others, some with a lost lease: their rows are locked too."""
    worker = Claimer(writing.client)
    running_tasks = writing.shuffled(*(await worker.claim(20)), *writing.running_tasks)
    ends: list[Outcome] = [Completed({}), Released(), Failed("no", timedelta(0)), Failed("no", None), Cancelled()]
    half = len(running_tasks) // 2
    outcomes: dict[Lease, Outcome] = {task.lease: writing.chance.choice(ends) for task in running_tasks[:half]}
    await worker.sync(outcomes, progress={task.lease: Progress("half", 0.5) for task in running_tasks[half:]})
    await worker.sync({task.lease: _end_of(task, writing) for task in writing.shuffled(*running_tasks[half:])})


def _end_of(task: ClaimedTask, writing: Writing) -> Outcome:
    if task.kind is TaskKind.DIGEST and "scheduled" in task.payload:
        return Completed({}, written("T", "U"))
    ends: list[Outcome] = [Completed({}), Released()]
    return writing.chance.choice(ends)


async def mails(writing: Writing) -> None:
    worker = Claimer(writing.client, kinds=[TaskKind.DELIVERY])
    for task in writing.shuffled(*await worker.claim(10)):
        delivery_id = UUID(task.payload["delivery_id"])
        answer = await Deliveries(writing.client).begin(
            delivery_id, task.lease, repeatable_within=None, sender_id="resend:1"
        )
        if isinstance(answer, Send) and writing.chance.random() < 0.7:
            bounce = writing.chance.random() < 0.3
            end = partial(Deliveries(writing.client).end, delivery_id, task.lease)
            await (end(FAILED, reason="550", bounce=True) if bounce else end(SENT))
        ends: list[Outcome] = [Completed({}), Failed("no", None)]
        await worker.sync({task.lease: writing.chance.choice(ends)})


async def resumes(writing: Writing) -> None:
    await Deliveries(writing.client).resume(by="ada", skip_pending=True)


async def replays(writing: Writing) -> None:
    for kind in writing.shuffled(*TaskKind):
        await Operator(writing.client).replay_dead(Actor(uuid4(), "root"), kind)


async def creates(writing: Writing) -> None:
    keys = [CallerKey(writing.key, {}, place) for place in range(8)]
    batch = [NewTask(uuid4(), TaskKind.FETCH, {}, None, callback_url="https://example.com/", key=key) for key in keys]
    await TaskStateManager(writing.client).create_tasks(batch)


async def cancels(writing: Writing) -> None:
    tasks = (await TaskStateManager(writing.client).list_tasks(limit=50)).tasks
    for task in writing.shuffled(*tasks)[:8]:
        with suppress(TaskNotFound):
            await TaskStateManager(writing.client).cancel_task(task.task_id)


async def retains(writing: Writing) -> None:
    await Maintenance(writing.client, batch=10).retain(task_days=1, edition_days=1)
    await Maintenance(writing.client, batch=10).retain_digests(digest_days=1)


WRITERS: Final[tuple[Writer, ...]] = (
    *(imports, bounces, looks_up, votes, schedules, removes, works, mails, resumes, replays, creates, cancels),
    *(retains, uploads, imports_libraries, erases, connects, syncs_libraries, disconnects, removes_papers),
)


async def furnish(client: AsyncClient, database: asyncpg.Connection) -> tuple[ClaimedTask, ...]:
    """Reset the database and create work for every writer; return the running tasks.

    Readers are due, or have a digest to write or a pending mail; papers await their look-up; tasks are ready, running,
    failed and old.
    """
    await database_reset(database)
    writing = Writing(client, random.Random(0))
    await imports(writing)
    await database.execute(SEND_NOW)
    await database.execute(DUE, NAMES[:8])
    await votes(writing)
    await uploads(writing)
    await connects(writing)
    assert await Schedule(client).enqueue_due() == 8
    writer = Claimer(client, kinds=[TaskKind.DIGEST])
    digests = await writer.claim(4)
    await writer.sync({task.lease: Completed({}, written("T", "U")) for task in digests})
    await database.execute(DUE, NAMES[8:])
    await insert_tasks(database, 20, status="completed")
    await database.execute(
        "update public.tasks set created_at = now() - interval '9 days', finished_at = now() - interval '9 days'"
        " where status = 'completed' and kind = 'fetch'"
    )
    await insert_tasks(database, 30)
    await database.execute("update public.tasks set callback_url = 'https://example.com/' where status is null")
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    failed, running_tasks = await worker.claim(5), await worker.claim(15)
    await worker.sync({task.lease: Failed("no", None) for task in failed})
    return running_tasks
