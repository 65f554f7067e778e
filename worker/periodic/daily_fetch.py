"""Enqueues fetches of the last days at fixed times of day."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta

import structlog

from app.config.fetch_times import FetchTimes
from app.errors import SupabaseError
from app.persistence.tasks import TaskStateManager

log = structlog.get_logger(__name__)

LONGEST_SLEEP, RETRY_AFTER = 3600.0, 60.0

DAYS = 4
"""How many complete days are fetched each time.

Papers submitted to arXiv after 14:00 Eastern time on a Friday appear on Tuesday (UTC):
https://info.arxiv.org/help/availability.html
"""

Sleep = Callable[[float], Awaitable[None]]


class DailyFetch:
    """Enqueues fetches of the last complete days (UTC) at `at`. Their keys make them one per day for all workers."""

    def __init__(self, tasks: TaskStateManager, at: FetchTimes, *, now: Callable[[], datetime], sleep: Sleep) -> None:
        self._tasks = tasks
        self._at = at
        self._now = now
        self._sleep = sleep

    async def run(self) -> None:
        """Run until cancelled. A worker that starts after one of the times enqueues at once; keys prevent doubles."""
        while True:
            now = self._now()
            due = self._at.latest(now)
            # Repeated each hour: this costs a few calls, and replaces a failed fetch.
            longest = LONGEST_SLEEP if due is None or await self._enqueue(due) else RETRY_AFTER
            await self._sleep(min(longest, (self._at.next(now) - now).total_seconds()))

    async def _enqueue(self, due: datetime) -> bool:
        """Enqueue the days before `due`. Return False if Supabase is unavailable."""
        try:
            await enqueue_days(self._tasks, due.date(), due)
        except SupabaseError as error:
            log.warning("daily fetch postponed", error=str(error))
            return False
        return True


async def enqueue_days(tasks: TaskStateManager, today: date, due: datetime) -> None:
    """Enqueue the fetches of the last complete days before `today` for the time `due`. Raises `SupabaseError`.

    The newest comes first, because most readers wait for that one.
    """
    for back in range(1, DAYS + 1):
        await tasks.ensure_fetch(today - timedelta(days=back), due=due)
