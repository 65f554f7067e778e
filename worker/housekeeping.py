"""What a worker does besides tasks, by the clock: retention, and the day's fetch."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time, timedelta
from random import Random

import structlog

from app.errors import SupabaseError
from app.persistence.maintenance import Maintenance
from app.persistence.tasks import TaskStateManager

log = structlog.get_logger(__name__)

RETENTION_EVERY = timedelta(hours=1)
LONGEST_SLEEP, RETRY_AFTER = 3600.0, 60.0

Sleep = Callable[[float], Awaitable[None]]


class Retention:
    """Removes what is older than it is to be kept, a batch at a time, once an hour."""

    def __init__(self, maintenance: Maintenance, *, task_days: int, edition_days: int, random: Random) -> None:
        self._maintenance = maintenance
        self._task_days = task_days
        self._edition_days = edition_days
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
                return


class DailyFetch:
    """Enqueues the fetch of the last complete day at a time of day (UTC); the key makes it one for all workers."""

    def __init__(self, tasks: TaskStateManager, at: time, *, now: Callable[[], datetime], sleep: Sleep) -> None:
        self._tasks = tasks
        self._at = at
        self._now = now
        self._sleep = sleep

    async def run(self) -> None:
        """Go on until cancelled. A worker that starts after the time enqueues at once: the key makes it harmless."""
        while True:
            now = self._now()
            due = datetime.combine(now.date(), self._at, UTC)
            if now < due:
                await self._sleep(min((due - now).total_seconds(), LONGEST_SLEEP))
            else:
                # Again each hour: it costs one call, and takes over from a fetch that failed.
                await self._sleep(LONGEST_SLEEP if await self._enqueue(now) else RETRY_AFTER)

    async def _enqueue(self, now: datetime) -> bool:
        day = now.date() - timedelta(days=1)
        try:
            await self._tasks.ensure_fetch(day)
        except SupabaseError as error:
            log.warning("daily fetch put off", source_date=day.isoformat(), error=str(error))
            return False
        return True
