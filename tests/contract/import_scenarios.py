"""Uploads and imports of libraries: scenarios of `test_repeated_writes.py`."""

from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.imports import Imports, LibraryReport, accepted_row, rejected_row
from app.persistence.new_task import NewTask
from app.persistence.outcomes import Completed
from app.persistence.queue import TaskQueue
from app.persistence.reader_papers import PaperInput
from app.persistence.uploads import Uploads
from tests.contract.scenarios import OTHER, TASK, WORKER, scenario, send
from tests.support.schedule import add_reader
from tests.support.tasks import LEASE

PAPERS = [PaperInput(keys=(f"doi:{n}",), doi=str(n), title="T") for n in range(2)]
ROWS = [accepted_row(1, "a", PAPERS[0], {"liked": True}), accepted_row(2, "b", PAPERS[1], {"liked": True})]


async def upload(client: AsyncClient, times: int) -> Uploads:
    """Receive a file of two pieces for reader TASK, whose import is TASK too."""
    await add_reader(client, reader_id=str(TASK), external_id="ada")
    uploads = Uploads(client)
    for _ in range(times):
        await uploads.open(TASK, "default", TASK, None)
    for number in range(2):
        for _ in range(times):
            await uploads.append(TASK, number, b"piece %d" % number)
    return uploads


@scenario(*(f"Uploads.{name}" for name in ("open", "append", "finish")))
async def receiving(client: AsyncClient, times: int) -> None:
    uploads = await upload(client, times)
    for _ in range(times):
        task = await uploads.finish(NewTask(TASK, TaskKind.IMPORT, {}, None), "default", TASK, 2)
        assert (task.task_id, task.reader_id) == (TASK, TASK)


@scenario("Uploads.discard")
async def discarding(client: AsyncClient, times: int) -> None:
    uploads = await upload(client, times)
    for _ in range(times):
        await uploads.discard(TASK)


@scenario(*(f"Imports.{name}" for name in ("begin", "piece", "record", "report", "newest")))
async def importing(client: AsyncClient, times: int) -> None:
    uploads, imports = await upload(client, 1), Imports(client)
    await uploads.finish(NewTask(TASK, TaskKind.IMPORT, {}, None), "default", TASK, 2)
    queue = TaskQueue(client, worker_id=WORKER, kinds=[TaskKind.IMPORT], lease=LEASE)
    lease = (await queue.sync(queue.prepare(outcomes={}, slots=1))).claimed[0].lease
    for _ in range(times):
        assert (await imports.begin(TASK, "1")).pieces == 2
        assert await imports.piece(TASK, 1) == b"piece 1"
    for _ in range(times):
        report = await imports.record(lease, 0, ROWS)
        assert (report.entries, report.accepted, report.already_there) == (2, 2, 0)
    for _ in range(times):
        report = await imports.record(lease, 2, [ROWS[1], rejected_row(3, "c", "no")])
        assert (report.entries, report.accepted, report.already_there, report.rejected) == (4, 2, 1, 1)
    result = {"entries": 4, "accepted": 2, "already_there": 1, "rejected": 1}
    await send(queue, queue.prepare(outcomes={lease: Completed(result)}, slots=0), times)
    for _ in range(times):
        assert await imports.report(TASK) == LibraryReport(**result)
        newest = await imports.newest(TASK)
        assert newest is not None
        assert newest.task_id == TASK
        assert await imports.newest(OTHER) is None
