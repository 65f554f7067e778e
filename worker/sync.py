"""Gets one sync call answered, however long it takes: repeated while Supabase is away, taken apart when rejected."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random

import structlog

from app.errors import SchemaOutdated, SupabaseRejected, SupabaseUnavailable
from app.persistence.queue import Failed, Lease, Outcome, SyncAnswer, SyncCall, TaskQueue

log = structlog.get_logger(__name__)

FIRST_BACKOFF, LONGEST_BACKOFF = 0.1, 5.0


class Syncer:
    """The one call that a worker has in flight."""

    def __init__(self, queue: TaskQueue, random: Random) -> None:
        self._queue = queue
        self._random = random

    async def sync(self, outcomes: Mapping[Lease, Outcome], renewals: Sequence[Lease], slots: int) -> SyncAnswer:
        """Make a call and return its answer; while Supabase is away the very same call is sent again and again.

        A call that is rejected is repeated without its outcomes, after each of these went alone; one that is rejected
        alone too ends its task as failed.
        """
        if outcomes:
            try:
                call = self._queue.prepare(outcomes=outcomes, renewals=renewals, slots=slots)
                return await self._until_answered(call)
            except SupabaseRejected as error:
                log.error("sync call rejected, its outcomes go one by one", error=str(error), outcomes=len(outcomes))
            for lease, outcome in outcomes.items():
                await self._alone(lease, outcome)
        return await self._until_accepted(self._queue.prepare(outcomes={}, renewals=renewals, slots=slots))

    async def _alone(self, lease: Lease, outcome: Outcome) -> None:
        try:
            await self._until_answered(self._queue.prepare(outcomes={lease: outcome}, renewals=(), slots=0))
        except SupabaseRejected as error:
            log.error("outcome rejected, its task fails", task_id=str(lease.task_id), error=str(error))
            culprit = Failed(error=f"the database refused the outcome: {error}", retry_in=None)
            await self._until_accepted(self._queue.prepare(outcomes={lease: culprit}, renewals=(), slots=0))

    async def _until_accepted(self, call: SyncCall) -> SyncAnswer:
        """Send a call in which nothing of a task's own can be at fault: whoever runs the project has to mend it."""
        while True:
            try:
                return await self._until_answered(call)
            except SupabaseRejected as error:
                log.error("Supabase refuses the worker, trying again", error=str(error))
            await asyncio.sleep(LONGEST_BACKOFF)

    async def _until_answered(self, call: SyncCall) -> SyncAnswer:
        backoff = FIRST_BACKOFF
        while True:
            try:
                return await self._queue.sync(call)
            except (SupabaseUnavailable, SchemaOutdated) as error:
                log.warning("sync call not answered, trying again", number=call.number, error=str(error))
            await asyncio.sleep(backoff * self._random.uniform(0.5, 1.0))
            backoff = min(LONGEST_BACKOFF, backoff * 2)
