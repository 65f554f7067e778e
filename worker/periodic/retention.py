"""Removes old tasks, editions, digests, deliveries, audit entries and unconfirmed readers, once an hour."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Final

import structlog

from app.persistence.maintenance import Maintenance, PrunedRecords, PrunedSignUps, Removed
from worker.periodic.repetition import repeat

log = structlog.get_logger(__name__)

RETENTION_INTERVAL = timedelta(hours=1)
AUDIT_RETENTION_DAYS: Final = 365
"""Days for which audit entries and ended pauses are kept."""


class Retention:
    """Removes rows older than their retention time, in batches, once an hour."""

    def __init__(
        self,
        maintenance: Maintenance,
        *,
        task_days: int,
        edition_days: int,
        digest_days: int,
        delivery_days: int,
        random: Random,
    ) -> None:
        self._maintenance = maintenance
        self._task_days = task_days
        self._edition_days = edition_days
        self._digest_days = digest_days
        # Not before their tasks: the delivery of an existing task cannot be removed and would be checked in vain.
        self._delivery_days = max(delivery_days, task_days)
        self._random = random

    async def run(self) -> None:
        """Run until cancelled."""
        await repeat("retention", self._random, self.run_once, interval=RETENTION_INTERVAL.total_seconds())

    async def run_once(self) -> None:
        """Remove batch after batch until one is not full. Raises `SupabaseError`."""
        maintenance = self._maintenance
        await self._empty(
            "removed", lambda: maintenance.retain(task_days=self._task_days, edition_days=self._edition_days)
        )
        await self._empty("digests", lambda: maintenance.retain_digests(digest_days=self._digest_days))
        days = {"delivery_days": self._delivery_days, "audit_days": AUDIT_RETENTION_DAYS}
        await self._empty("records", lambda: maintenance.prune_records(**days))
        await self._empty("sign_ups", maintenance.prune_sign_ups)

    async def _empty(
        self, name: str, remove: Callable[[], Awaitable[Removed | PrunedRecords | PrunedSignUps | int]]
    ) -> None:
        while True:
            removed = await remove()
            log.info("retention", **{name: removed})
            if (removed if isinstance(removed, int) else removed.largest) < self._maintenance.batch:
                return
