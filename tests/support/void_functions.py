"""Calls of database functions that return nothing."""

from datetime import timedelta

from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.new_task import NewTask
from app.persistence.queue import TaskQueue
from app.persistence.tasks import TaskStateManager
from tests.support.function_requests import FUNCTION_CALLS
from tests.support.requests import DAY, ONE, RequestCase, rpc
from tests.support.table_requests import TABLE_READS, TABLE_WRITES

VOID = {
    "cache_put", "release_permit", "record_looked_up", "record_readings", "report_configuration",
    "save_articles", "set_pause_for_operator", "refresh_delivery_rate", "confirm_condition_callback",
    "record_file_library", "remove_reader_paper",
}  # fmt: skip


async def _sync(client: AsyncClient) -> object:
    queue = TaskQueue(client, worker_id=ONE, kinds=[TaskKind.FETCH], lease=timedelta(minutes=1))
    return await queue.sync(queue.prepare(outcomes={}, slots=1))


CREATING = [
    rpc("create", lambda c: TaskStateManager(c).create_tasks([NewTask(ONE, TaskKind.FETCH, {}, DAY)]), "create_tasks"),
    rpc("ensure", lambda c: TaskStateManager(c).ensure_fetch(DAY), "ensure_fetch"),
    rpc("sync", _sync, "sync_worker"),
]


CALLS = [*TABLE_READS, *TABLE_WRITES, *FUNCTION_CALLS, *CREATING]


def function_of(case: RequestCase) -> str | None:
    return case.path.removeprefix("/rest/v1/rpc/") if "/rpc/" in case.path else None
