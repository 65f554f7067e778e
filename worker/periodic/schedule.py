"""Looks once a minute who is due for a digest."""

import asyncio
from random import Random

import structlog

from app.errors import SupabaseError
from app.persistence.schedule import Schedule

log = structlog.get_logger(__name__)

EVERY = 60.0
"""Seconds."""


class DueReaderEnqueuer:
    """Has the digests made that are due; every worker does it, and the database sees to it that each is made once."""

    def __init__(self, schedule: Schedule, *, random: Random, every: float = EVERY) -> None:
        self._schedule = schedule
        self._random = random
        self._every = every

    async def run(self) -> None:
        """Go on until cancelled; the first time after a random part of a minute, so that workers take turns."""
        await asyncio.sleep(self._every * self._random.random())
        while True:
            try:
                due = await self._schedule.enqueue_due()
            except SupabaseError as error:
                log.warning("schedule put off", error=str(error))
            else:
                if due:
                    log.info("schedule", due=due)
            await asyncio.sleep(self._every)
