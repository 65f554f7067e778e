"""What the contract tests share: queues of workers, tasks in bulk, and a transport that loses answers."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from supabase import AsyncClient

from app.models import Task, TaskKind
from app.persistence.queue import ClaimedTask, Lease, Outcome, SyncAnswer, TaskQueue
from app.persistence.tasks import TaskStateManager
from app.transport import HonestTransport

LEASE = timedelta(seconds=30)
DAY = date(2026, 3, 4)


class LosingTransport(httpx.AsyncBaseTransport):
    """Loses the first answer to every request that is not a repetition: it was applied, and nobody knows."""

    def __init__(self) -> None:
        self._inner = HonestTransport(20)
        self._lost: set[tuple[str, str, bytes]] = set()
        self.lost = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        this = (request.method, str(request.url), request.content)
        if this not in self._lost:
            self._lost.add(this)
            self.lost += 1
            raise httpx.ReadError("the answer was lost")
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class Claimer:
    """A worker's side of the queue, without a worker."""

    def __init__(self, client: AsyncClient, *, kinds: Sequence[TaskKind] = tuple(TaskKind), lease: timedelta = LEASE):
        self.queue = TaskQueue(client, worker_id=uuid4(), kinds=kinds, lease=lease)

    async def sync(
        self, outcomes: Mapping[Lease, Outcome] | None = None, renewals: Sequence[Lease] = (), slots: int = 0
    ) -> SyncAnswer:
        return await self.queue.sync(self.queue.prepare(outcomes=outcomes or {}, renewals=renewals, slots=slots))

    async def claim(self, slots: int = 100) -> tuple[ClaimedTask, ...]:
        return (await self.sync(slots=slots)).claimed

    async def claim_one(self) -> ClaimedTask:
        (task,) = await self.claim(1)
        return task

    async def finish(self, task: ClaimedTask, outcome: Outcome) -> str:
        """Report one outcome; returns the verdict."""
        answer = await self.sync({task.lease: outcome})
        return answer.outcomes[0].verdict


async def create(client: AsyncClient, **changes: Any) -> Task:
    """Create a fetch task, or what `changes` make of it."""
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
) -> None:
    """Put many tasks into the table at once."""
    await database.execute(
        "insert into public.tasks (task_id, kind, priority, run_at, request_hash, status, finished_at)"
        " select gen_random_uuid(), $1, $2, now() + $3::text::interval, 'test', $4,"
        " case when $4 in ('completed', 'failed', 'cancelled') then now() end from generate_series(1, $5)",
        kind,
        priority,
        delay,
        status,
        count,
    )


async def expire_lease(database: asyncpg.Connection, task_id: UUID) -> None:
    """Let a lease run out, as if its time had passed."""
    await database.execute(
        "update public.tasks set lease_expires_at = now() - interval '1 second' where task_id = $1", task_id
    )


async def row(database: asyncpg.Connection, task_id: UUID) -> dict[str, Any]:
    """A task's whole row."""
    return dict(await database.fetchrow("select * from public.tasks where task_id = $1", task_id))


async def everything(database: asyncpg.Connection) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, without the times and ids that two runs cannot share."""
    found = {}
    for table in ("tasks", "editions", "articles", "cache_entries", "circuit_breakers", "turns"):
        rows = [dict(r) for r in await database.fetch(f"select * from public.{table} order by 1, 2, 3")]
        found[table] = [{k: v for k, v in r.items() if k not in VOLATILE} for r in rows]
    return found


VOLATILE = frozenset(
    {"created_at", "updated_at", "run_at", "started_at", "finished_at", "lease_expires_at", "expires_at", "retry_at"}
    | {"held_until", "next_at"}
    | {"lease_token", "worker_id", "snoozed_since", "recent_events", "trial_token", "payload"}
)
