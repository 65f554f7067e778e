"""What keeps the database small and its queue visible: retention and figures."""

from dataclasses import dataclass

from pydantic import TypeAdapter
from supabase import AsyncClient

from app.models import TaskKind, TaskStatus
from app.persistence.errors import parsed, supabase_errors


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many tasks of a kind are pending or running, and for how many seconds the oldest has been ready."""

    kind: TaskKind
    status: TaskStatus
    tasks: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The queue at one moment."""

    depth: tuple[QueueDepth, ...]


@dataclass(frozen=True, slots=True)
class Removed:
    """How many rows a batch of retention removed."""

    tasks: int
    articles: int
    editions: int
    cache_entries: int
    calls: int
    items: int
    shown: int

    @property
    def most(self) -> int:
        """The most of one kind: less than a whole batch means that nothing is left to remove."""
        return max(self.tasks, self.articles, self.editions, self.cache_entries, self.calls, self.items, self.shown)


@dataclass(frozen=True, slots=True)
class PrunedRecords:
    """How many rows a batch removed of the records of what was sent and done."""

    deliveries: int
    acts: int
    pauses: int

    @property
    def most(self) -> int:
        """The most of one kind: less than a whole batch means that nothing is left to remove."""
        return max(self.deliveries, self.acts, self.pauses)


_STATS = TypeAdapter(QueueStats)
_REMOVED = TypeAdapter(Removed)
_PRUNED = TypeAdapter(PrunedRecords)
_COUNT = TypeAdapter(int)


class Maintenance:
    """Retention and the queue's figures."""

    def __init__(self, client: AsyncClient, *, batch: int = 500) -> None:
        self._client = client
        self.batch = batch

    async def queue_stats(self) -> QueueStats:
        """Read how many unfinished tasks there are. Raises `SupabaseError`."""
        with supabase_errors("read the queue's figures"):
            answer = await self._client.rpc("queue_stats").execute()
        return parsed(_STATS, answer.data)

    async def retain(self, *, task_days: int, edition_days: int) -> Removed:
        """Remove a batch of tasks that ended, and editions that were last fetched, so many days ago, and what expired.

        Raises `SupabaseError`.
        """
        parameters = {"p_task_days": task_days, "p_edition_days": edition_days, "p_batch": self.batch}
        with supabase_errors("remove what is old"):
            answer = await self._client.rpc("apply_retention", parameters).execute()
        return parsed(_REMOVED, answer.data)

    async def retain_digests(self, *, digest_days: int) -> int:
        """Remove a batch of readers' digests written so many days ago; returns how many. Raises `SupabaseError`."""
        with supabase_errors("remove old digests"):
            answer = await self._client.rpc("prune_digests", {"p_days": digest_days, "p_batch": self.batch}).execute()
        return parsed(_COUNT, answer.data)

    async def prune_records(self, *, delivery_days: int, audit_days: int) -> PrunedRecords:
        """Remove a batch of deliveries that ended so many days ago, of the audit, and of pauses that ended.

        A delivery stays while a task is there that could make it again. Raises `SupabaseError`.
        """
        parameters = {"p_delivery_days": delivery_days, "p_audit_days": audit_days, "p_batch": self.batch}
        with supabase_errors("remove old deliveries and acts"):
            answer = await self._client.rpc("prune_records", parameters).execute()
        return parsed(_PRUNED, answer.data)
