"""Enqueues, once a minute, the digests of readers who are due."""

from random import Random

import structlog

from app.persistence.schedule import Schedule
from worker.periodic.repetition import repeat

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
        """Run until cancelled."""
        await repeat("schedule", self._random, self._enqueue, interval=self._interval)

    async def _enqueue(self) -> None:
        if due := await self._schedule.enqueue_due():
            log.info("schedule", due=due)
