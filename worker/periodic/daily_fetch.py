"""Asks for the fetch of the last days, at times of day."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from app.config.fetch_times import FetchTimes
from app.errors import SupabaseError
from app.persistence.tasks import TaskStateManager

log = structlog.get_logger(__name__)

LONGEST_SLEEP, RETRY_AFTER = 3600.0, 60.0

DAYS = 4
"""How many complete days are looked at each time.

What is submitted to arXiv after 14:00 Eastern on a Friday appears on Tuesday (UTC): https://info.arxiv.org/help/availability.html
"""

Sleep = Callable[[float], Awaitable[None]]


class DailyFetch:
    """Enqueues fetches of the last complete days (UTC) at times of day; their keys make them one for all workers."""

    def __init__(self, tasks: TaskStateManager, at: FetchTimes, *, now: Callable[[], datetime], sleep: Sleep) -> None:
        self._tasks = tasks
        self._at = at
        self._now = now
        self._sleep = sleep

    async def run(self) -> None:
        """Go on until cancelled. A worker that starts after a time enqueues at once: the key makes it harmless."""
        while True:
            now = self._now()
            due = self._at.latest(now)
            # Again each hour: it costs a few calls, and takes over from a fetch that failed.
            longest = LONGEST_SLEEP if due is None or await self._enqueue(due) else RETRY_AFTER
            await self._sleep(min(longest, (self._at.next(now) - now).total_seconds()))

    async def _enqueue(self, due: datetime) -> bool:
        """Ask for the days before `due`, the newest first, for which most wait."""
        for back in range(1, DAYS + 1):
            day = due.date() - timedelta(days=back)
            try:
                await self._tasks.ensure_fetch(day, due=due)
            except SupabaseError as error:
                log.warning("daily fetch put off", source_date=day.isoformat(), error=str(error))
                return False
        return True
