"""Removes old tasks, editions, digests, deliveries and audit entries, and expired rows, once an hour."""

import asyncio
from datetime import timedelta
from random import Random
from typing import Final

import structlog

from app.errors import SupabaseError
from app.persistence.maintenance import Maintenance

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
        """Run until cancelled. The first wait is a random part of an hour, so that workers alternate."""
        await asyncio.sleep(RETENTION_INTERVAL.total_seconds() * self._random.random())
        while True:
            try:
                await self.run_once()
            except SupabaseError as error:
                log.warning("retention postponed", error=str(error))
            await asyncio.sleep(RETENTION_INTERVAL.total_seconds())

    async def run_once(self) -> None:
        """Remove batch after batch until one is not full. Raises `SupabaseError`."""
        await self._remove_tasks_and_editions()
        await self._remove_digests()
        await self._remove_records()

    async def _remove_tasks_and_editions(self) -> None:
        while True:
            removed = await self._maintenance.retain(task_days=self._task_days, edition_days=self._edition_days)
            log.info("retention", removed=removed)
            if removed.largest < self._maintenance.batch:
                return

    async def _remove_digests(self) -> None:
        while True:
            digests = await self._maintenance.retain_digests(digest_days=self._digest_days)
            log.info("retention", digests=digests)
            if digests < self._maintenance.batch:
                return

    async def _remove_records(self) -> None:
        while True:
            records = await self._maintenance.prune_records(
                delivery_days=self._delivery_days, audit_days=AUDIT_RETENTION_DAYS
            )
            log.info("retention", records=records)
            if records.largest < self._maintenance.batch:
                return
