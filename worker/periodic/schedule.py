"""Enqueues, once a minute, the digests of readers who are due."""

import asyncio
from random import Random

import structlog

from app.errors import SupabaseError
from app.persistence.schedule import Schedule

log = structlog.get_logger(__name__)

INTERVAL = 60.0
"""Seconds."""


class DueReaderEnqueuer:
    """Enqueues digests that are due. Every worker does it; the database ensures that each is enqueued once."""

    def __init__(self, schedule: Schedule, *, random: Random, interval: float = INTERVAL) -> None:
        self._schedule = schedule
        self._random = random
        self._interval = interval

    async def run(self) -> None:
        """Run until cancelled. The first wait is a random part of a minute, so that workers alternate."""
        await asyncio.sleep(self._interval * self._random.random())
        while True:
            try:
                due = await self._schedule.enqueue_due()
            except SupabaseError as error:
                log.warning("schedule postponed", error=str(error))
            else:
                if due:
                    log.info("schedule", due=due)
            await asyncio.sleep(self._interval)
