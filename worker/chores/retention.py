"""Removes old tasks, editions, readers' digests and what expired, once an hour."""

import asyncio
from datetime import timedelta
from random import Random

import structlog

from app.errors import SupabaseError
from app.persistence.maintenance import Maintenance

log = structlog.get_logger(__name__)

RETENTION_EVERY = timedelta(hours=1)


class Retention:
    """Removes what is older than it is to be kept, a batch at a time, once an hour."""

    def __init__(
        self, maintenance: Maintenance, *, task_days: int, edition_days: int, digest_days: int, random: Random
    ) -> None:
        self._maintenance = maintenance
        self._task_days = task_days
        self._edition_days = edition_days
        self._digest_days = digest_days
        self._random = random

    async def run(self) -> None:
        """Go on until cancelled; the first time after a random part of an hour, so that workers take turns."""
        await asyncio.sleep(RETENTION_EVERY.total_seconds() * self._random.random())
        while True:
            try:
                await self.run_once()
            except SupabaseError as error:
                log.warning("retention put off", error=str(error))
            await asyncio.sleep(RETENTION_EVERY.total_seconds())

    async def run_once(self) -> None:
        """Remove batch after batch until one is not full. Raises `SupabaseError`."""
        while True:
            removed = await self._maintenance.retain(task_days=self._task_days, edition_days=self._edition_days)
            log.info("retention", removed=removed)
            if removed.most < self._maintenance.batch:
                break
        while True:
            digests = await self._maintenance.retain_digests(digest_days=self._digest_days)
            log.info("retention", digests=digests)
            if digests < self._maintenance.batch:
                return
