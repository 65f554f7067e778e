"""Asks for the fetch of the last complete day, at a time of day."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time

import structlog

from app.days import day_before
from app.errors import SupabaseError
from app.persistence.tasks import TaskStateManager

log = structlog.get_logger(__name__)

LONGEST_SLEEP, RETRY_AFTER = 3600.0, 60.0

Sleep = Callable[[float], Awaitable[None]]


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
        day = day_before(now.date())
        try:
            await self._tasks.ensure_fetch(day)
        except SupabaseError as error:
            log.warning("daily fetch put off", source_date=day.isoformat(), error=str(error))
            return False
        return True
