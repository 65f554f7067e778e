"""Finishes the deletion of readers' data, if the request that began it could not."""

from random import Random
from typing import Final
from uuid import UUID

import structlog

from app.persistence.own_data import OwnData
from worker.periodic.repetition import repeat

log = structlog.get_logger(__name__)

INTERVAL: Final = 30.0
"""Seconds between two looks for deletions that are not finished."""
FIRST_WITHIN: Final = 5.0
"""Seconds after the start of a worker."""


class Erasures:
    """Deletes everything about readers whose deletion has begun. Every worker does it; the order does not matter."""

    def __init__(self, own_data: OwnData, *, random: Random, interval: float = INTERVAL) -> None:
        self._own_data = own_data
        self._random = random
        self._interval = interval

    async def run(self) -> None:
        """Run until cancelled."""
        first_within = min(FIRST_WITHIN, self._interval)
        await repeat("erasures", self._random, self.run_once, interval=self._interval, first_within=first_within)

    async def run_once(self) -> None:
        """Delete the data of all such readers, except those to whom a mail is being sent. Raises `SupabaseError`."""
        for reader_id in await self._own_data.to_erase():
            if await self._is_erased(reader_id):
                log.info("data of a reader deleted")

    async def _is_erased(self, reader_id: UUID) -> bool:
        while (outcome := await self._own_data.erase(reader_id)) == "more":
            pass
        return outcome == "erased"
