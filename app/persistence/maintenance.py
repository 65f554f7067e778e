"""Retention, and the statistics of the queue."""

from dataclasses import dataclass

from supabase import AsyncClient

from app.models.tasks import TaskKind, TaskStatus
from app.persistence.repository import Repository


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
    """How many rows one batch of retention removed."""

    tasks: int
    articles: int
    editions: int
    cache_entries: int
    calls: int
    items: int
    shown: int
    uploads: int

    @property
    def largest(self) -> int:
        """The largest count. Less than a full batch means that nothing is left to remove, except maybe uploads."""
        return max(self.tasks, self.articles, self.editions, self.cache_entries, self.calls, self.items, self.shown)


@dataclass(frozen=True, slots=True)
class PrunedRecords:
    """How many rows one batch removed of deliveries, audit and pauses."""

    deliveries: int
    audit_entries: int
    pauses: int

    @property
    def largest(self) -> int:
        """The largest count. Less than a full batch means that nothing is left to remove."""
        return max(self.deliveries, self.audit_entries, self.pauses)


@dataclass(frozen=True, slots=True)
class PrunedSignUps:
    """How many rows one batch removed of readers that were never confirmed, sign-ups and addresses with mails."""

    readers: int
    sign_ups: int
    addresses: int

    @property
    def largest(self) -> int:
        """The largest count. Less than a full batch means that nothing is left to remove."""
        return max(self.readers, self.sign_ups, self.addresses)


class Maintenance(Repository):
    """Removes old rows in batches, and reads the statistics of the queue."""

    def __init__(self, client: AsyncClient, *, batch: int = 500) -> None:
        super().__init__(client)
        self.batch = batch

    async def queue_stats(self) -> QueueStats:
        """Count the unfinished tasks. Raises `SupabaseError`."""
        return await self._call("queue_stats", "read the statistics of the queue", QueueStats)

    async def retain(self, *, task_days: int, edition_days: int) -> Removed:
        """Remove a batch of tasks ended `task_days` ago, editions last fetched `edition_days` ago, and expired rows.

        Raises `SupabaseError`.
        """
        return await self._call(
            "apply_retention",
            "remove old tasks and editions",
            Removed,
            p_task_days=task_days,
            p_edition_days=edition_days,
            p_batch=self.batch,
        )

    async def retain_digests(self, *, digest_days: int) -> int:
        """Remove a batch of readers' digests older than `digest_days`; return how many. Raises `SupabaseError`."""
        return await self._call("prune_digests", "remove old digests", int, p_days=digest_days, p_batch=self.batch)

    async def prune_records(self, *, delivery_days: int, audit_days: int) -> PrunedRecords:
        """Remove a batch of deliveries ended `delivery_days` ago, and of audit entries and ended pauses.

        A delivery stays while a task exists that could create it again. Raises `SupabaseError`.
        """
        return await self._call(
            "prune_records",
            "remove old deliveries and audit entries",
            PrunedRecords,
            p_delivery_days=delivery_days,
            p_audit_days=audit_days,
            p_batch=self.batch,
        )

    async def prune_sign_ups(self) -> PrunedSignUps:
        """Remove a batch of readers that were not confirmed within a week, and of records that no limit counts.

        Raises `SupabaseError`.
        """
        return await self._call(
            "prune_sign_ups", "remove readers that were never confirmed", PrunedSignUps, p_batch=self.batch
        )
