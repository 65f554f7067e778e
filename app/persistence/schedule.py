"""The schedule: creates one digest task for each reader who is due."""

from datetime import timedelta

from supabase import AsyncClient

from app.persistence.repository import Repository

BATCH = 2500
"""Readers per call: a fraction of Supabase's statement timeout of 8 s."""


class Schedule(Repository):
    """Finds readers who are due, by the database's clock and time zones. Concurrent calls are safe."""

    def __init__(self, client: AsyncClient, *, batch: int = BATCH) -> None:
        super().__init__(client)
        self._batch = batch

    async def enqueue_due(self, ahead: timedelta = timedelta(0)) -> int:
        """Create the digest tasks of all readers who are due, in batches. Returns how many readers were due.

        With `ahead`, readers who are due within that time are due now, except those whose last digest was created less
        than half of it ago. Their digest replaces earlier ones that have not been written. Raises `SupabaseError`;
        batches done before the error stay done.
        """
        due, parameters = 0, {"p_limit": self._batch, "p_ahead_seconds": ahead.total_seconds()}
        while True:
            number = await self._call("enqueue_due", "enqueue the digests that are due", int, **parameters)
            due += number
            if number < self._batch:
                return due
