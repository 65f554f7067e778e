"""Workers' queues, tasks in bulk, and a transport that loses responses."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from supabase import AsyncClient

from app.client.call import Call, Response
from app.client.transport import ErrorMappingTransport
from app.models.tasks import Task, TaskKind
from app.persistence.outcomes import Lease, Outcome
from app.persistence.queue import ClaimedTask, Progress, SyncResponse, TaskQueue
from app.persistence.tasks import TaskStateManager

LEASE = timedelta(seconds=30)
SOON = timedelta(0)
READ_TIMEOUT = 30.0
"""Seconds; generous, because no test may fail on a slow machine."""
DAY = date(2026, 3, 4)
JWT_SECRET = "c" * 40
"""The JWT secret of the tests' emulator, with which they can sign in any user."""


class LosingTransport(ErrorMappingTransport):
    """Loses the first response to every request that is no repetition: the write is applied, unknown to the client."""

    def __init__(self) -> None:
        super().__init__(20, read_timeout=READ_TIMEOUT)
        self._lost: set[tuple[str, str, bytes]] = set()
        self.lost = 0

    async def send(self, call: Call) -> Response:
        response = await super().send(call)
        this = (call.method, str(call.url), call.content)
        if this not in self._lost:
            self._lost.add(this)
            self.lost += 1
            raise httpx.ReadError("the answer was lost")
        return response


class Claimer:
    """A worker's calls of the queue, without a worker."""

    def __init__(self, client: AsyncClient, *, kinds: Sequence[TaskKind] = tuple(TaskKind), lease: timedelta = LEASE):
        self.worker_id = uuid4()
        self.queue = TaskQueue(client, worker_id=self.worker_id, kinds=kinds, lease=lease)

    async def sync(
        self,
        outcomes: Mapping[Lease, Outcome] | None = None,
        slots: int = 0,
        progress: Mapping[Lease, Progress] | None = None,
    ) -> SyncResponse:
        return await self.queue.sync(self.queue.prepare(outcomes=outcomes or {}, slots=slots, progress=progress))

    async def claim(self, slots: int = 100) -> tuple[ClaimedTask, ...]:
        return (await self.sync(slots=slots)).claimed

    async def claim_one(self) -> ClaimedTask:
        (task,) = await self.claim(1)
        return task

    async def finish(self, task: ClaimedTask, outcome: Outcome) -> str:
        """Report one outcome; returns its verdict."""
        return verdict(await self.sync({task.lease: outcome}))


def verdict(answer: SyncResponse) -> str:
    """The verdict on the only outcome of a call."""
    return answer.rejected_outcomes[0].verdict if answer.rejected_outcomes else "applied"


async def create(client: AsyncClient, **changes: Any) -> Task:
    """Create a fetch task, or a task with these `changes`."""
    values: dict[str, Any] = {"task_id": uuid4(), "kind": TaskKind.FETCH, "payload": {}, "source_date": DAY}
    return await TaskStateManager(client).create_task_with_source_date(**(values | changes))


async def insert_tasks(
    database: asyncpg.Connection,
    count: int,
    *,
    kind: str = "fetch",
    priority: int = 1,
    delay: str = "0",
    status: str = "pending",
    payload: str = "{}",
    max_attempts: int = 5,
) -> None:
    """Insert many tasks: waiting, or ended with `status`."""
    ended = status if status in {"completed", "failed", "cancelled"} else None
    await database.execute(
        "with made as (insert into public.tasks"
        " (task_id, kind, priority, request_hash, payload, max_attempts, status, finished_at)"
        " select gen_random_uuid(), $1, $2, 'test', $6::text::jsonb, $7, $4,"
        " case when $4::text is not null then now() end from generate_series(1, $5) returning task_id)"
        " insert into public.queue (task_id, kind, priority, run_at, max_attempts)"
        " select task_id, $1, $2, now() + $3::text::interval, $7 from made where $4::text is null",
        kind,
        priority,
        delay,
        ended,
        count,
        payload,
        max_attempts,
    )


async def somebody_waits(database: asyncpg.Connection) -> None:
    """Wait until a call waits for a lock of this connection's transaction."""
    async with asyncio.timeout(30):
        while not await database.fetchval("select exists (select from pg_locks where not granted)"):
            await asyncio.sleep(0.01)


async def let_look(database: asyncpg.Connection) -> None:
    """Make every worker due to send its heartbeat and to check the others."""
    await database.execute("update public.workers set seen_at = seen_at - lease / 5")


async def expire_lease(database: asyncpg.Connection, task_id: UUID) -> None:
    """Let a lease expire, as if its worker had been silent for that long."""
    await let_look(database)
    await database.execute(
        "update public.workers set seen_at = now() - lease * 1.01, grace_until = null"
        " where worker_id = (select worker_id from public.queue where task_id = $1)",
        task_id,
    )


async def outage(database: asyncpg.Connection) -> None:
    """Let an hour pass in which nobody reached the database: every lease has expired."""
    await database.execute(
        "update public.workers set seen_at = seen_at - interval '1 hour', grace_until = grace_until - interval '1 hour'"
    )


async def row(database: asyncpg.Connection, task_id: UUID) -> dict[str, Any]:
    """All that is stored of a task: its record and its row in the queue."""
    found = await database.fetchrow(
        "select to_jsonb(t) as record, to_jsonb(q) as queued, r.status from public.tasks t"
        " join public.task_records r using (task_id) left join public.queue q using (task_id) where task_id = $1",
        task_id,
    )
    return dict(found)


async def record(database: asyncpg.Connection, task_id: UUID) -> dict[str, Any]:
    """A task as its view shows it, with its result."""
    found = await database.fetchrow(
        "select r.*, t.result from public.task_records r join public.tasks t using (task_id) where task_id = $1",
        task_id,
    )
    return dict(found)


async def everything(database: asyncpg.Connection) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, without the times and ids that differ between runs."""
    return comparable(json.loads(await database.fetchval(EVERYTHING)))


def comparable(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """What `EVERYTHING` returned, without the times and ids that differ between runs."""
    return {
        table: [{k: v for k, v in row.items() if k not in VOLATILE | _own_id(row)} for row in rows]
        for table, rows in found.items()
    }


def _own_id(row: dict[str, Any]) -> set[str]:
    """Values of the service's own tasks that differ between runs."""
    return {"task_id"} if str(row.get("idempotency_key")).startswith("own:") else set()


MINUTE_SUMS = ", ".join(
    f"sum({column})" for column in ("completed", "failed", "retried", "waits", "model_calls", "input_tokens")
)
TABLES = (
    *("tasks", "queue", "digests", "archived_items", "editions", "edition_sources", "articles", "items", "item_keys"),
    *("shown_items", "shown_digests", "cache_entries", "circuit_breakers", "rate_limits", "daily_usage", "audit"),
    *("pauses", "readers", "reader_papers", "reader_paper_keys", "reader_libraries", "library_entries", "uploads"),
    *("upload_pieces", "deliveries", "confirmations", "confirmation_mails", "sign_ups", "sources"),
    *("task_stat_reports", "task_stats", "task_attempts", "cancelled_tasks"),
)
ORDERED = {
    "queue": "select q.*, t.idempotency_key from public.queue q join public.tasks t using (task_id) order by 1",
    "articles": "select * from public.articles order by source_date, source, external_id",
    "reader_papers": "select * from public.reader_papers order by reader_id, arxiv_id, doi, title",
    "task_attempts": "select * from public.task_attempts order by task_id, attempt, outcome, error",
    "audit": "select * from public.audit order by created_at",
    # A run can cross the end of a minute.
    "task_stats": f"select kind, {MINUTE_SUMS} from public.task_stats group by kind order by kind",
}
EVERYTHING = "select jsonb_object_agg(name, rows) from ({}) as every (name, rows)".format(
    " union all ".join(
        f"select '{table}', (select coalesce(jsonb_agg(to_jsonb(r)), '[]') from ({query}) r)"
        for table in TABLES
        for query in [ORDERED.get(table, f"select * from public.{table} order by 1, 2")]
    )
)
VOLATILE = frozenset(
    {"created_at", "updated_at", "run_at", "started_at", "finished_at", "expires_at", "retry_at"}
    | {"read_at", "covered_until", "fetched_at"}
    | {"held_until", "next_at", "first_seen", "changed_at", "shown_at", "began_at", "written_at", "item_id"}
    | {"paper_id", "rated_at", "saved_at", "looked_up_at"}
    | {"held_until", "next_at", "replayed_at", "at", "since", "ended", "response", "details", "audit_id"}
    | {"held_until", "next_at", "begun_at", "ended_at", "token", "claimed_by", "skip_after", "enqueued_at"}
    | {"connected_at", "next_sync_at", "claimed_until", "synced_at"}
    | {"requested_at", "confirmed_at", "first_at", "last_at"}
    | {"succeeded_at", "failed_at", "failing_since", "reported_at", "touched_at"}
    | {"lease_token", "ended_by", "worker_id", "snoozed_since", "recent_events", "trial_token", "payload"}
)
