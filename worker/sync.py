"""Gets one sync call answered, however long it takes: repeated while Supabase is away, taken apart when rejected."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import structlog

from app.errors import SchemaOutdated, SupabaseRejected, SupabaseUnavailable, UnreadableResponse
from app.models import TaskKind
from app.persistence.outcomes import Failed, Lease, Outcome
from app.persistence.queue import Progress, SyncAnswer, SyncCall, TaskQueue
from worker.watchdog import Watchdog

log = structlog.get_logger(__name__)

FIRST_BACKOFF, LONGEST_BACKOFF = 0.1, 5.0

UNREADABLE = 3
"""How many unreadable answers to one call are taken for trouble on the way; then the recorded answer itself is."""


@dataclass(frozen=True, slots=True)
class Slots:
    """How many tasks may be claimed: `total`, and of a kind no more than `of_kind` says, if it does."""

    total: int
    of_kind: Mapping[TaskKind, int] = field(default_factory=dict)


class Syncer:
    """The one call that a worker has in flight."""

    def __init__(self, queue: TaskQueue, random: Random, pulse: Watchdog, lease: timedelta) -> None:
        self._queue = queue
        self._random = random
        self._pulse = pulse
        # With the longest call and the longest pause, a third of a lease each, less than the lease.
        self._longest = min(LONGEST_BACKOFF, lease.total_seconds() / 6)

    async def sync(
        self, outcomes: Mapping[Lease, Outcome], progress: Mapping[Lease, Progress], slots: Slots
    ) -> SyncAnswer:
        """Make a call and return its answer; while Supabase is away the very same call is sent again and again.

        A call that is rejected is repeated without its outcomes, after each of these went alone; one that is rejected
        alone too ends its task as failed.
        """
        if outcomes:
            try:
                return await self._until_answered(self._call(outcomes, progress, slots))
            except SupabaseRejected as error:
                log.error("sync call rejected, its outcomes go one by one", error=str(error), outcomes=len(outcomes))
            # Once this is accepted, it is the outcomes that are at fault.
            await self._until_accepted(self._call({}, progress, Slots(0)))
            for lease, outcome in outcomes.items():
                await self._alone(lease, outcome)
        return await self._until_accepted(self._call({}, progress, slots))

    def _call(self, outcomes: Mapping[Lease, Outcome], progress: Mapping[Lease, Progress], slots: Slots) -> SyncCall:
        return self._queue.prepare(outcomes=outcomes, progress=progress, slots=slots.total, kind_slots=slots.of_kind)

    async def _alone(self, lease: Lease, outcome: Outcome) -> None:
        try:
            await self._until_answered(self._call({lease: outcome}, {}, Slots(0)))
        except SupabaseRejected as error:
            log.error("outcome rejected, its task fails", task_id=str(lease.task_id), error=str(error))
            await self._failed(lease, f"the database refused the outcome: {error}")

    async def _failed(self, lease: Lease, why: str) -> None:
        try:
            await self._until_answered(self._call({lease: Failed(error=why, retry_in=None)}, {}, Slots(0)))
        except SupabaseRejected as error:
            # The others must go on; this one's lease runs out by itself.
            log.error("the task cannot even fail", task_id=str(lease.task_id), error=str(error))

    async def _until_accepted(self, call: SyncCall) -> SyncAnswer:
        """Send a call in which nothing of a task's own can be at fault: whoever runs the project has to mend it."""
        while True:
            try:
                return await self._until_answered(call)
            except SupabaseRejected as error:
                log.error("Supabase refuses the worker, trying again", error=str(error))
            await asyncio.sleep(self._longest)

    async def _until_answered(self, call: SyncCall) -> SyncAnswer:
        backoff, unreadable = FIRST_BACKOFF, 0
        while True:
            try:
                return await self._once(call)
            except (SupabaseUnavailable, SchemaOutdated) as error:
                log.warning("sync call not answered, trying again", number=call.number, error=str(error))
                unreadable += isinstance(error, UnreadableResponse)
            if unreadable == UNREADABLE:
                # The same number would bring the same answer for ever. What it claimed comes back with its lease.
                log.error("answer given up, the call goes on under the next number", number=call.number)
                call, unreadable = self._queue.without_claims(call), 0
            await asyncio.sleep(backoff * self._random.uniform(0.5, 1.0))
            backoff = min(self._longest, backoff * 2)

    async def _once(self, call: SyncCall) -> SyncAnswer:
        answered = False
        try:
            answer = await self._queue.sync(call)
            answered = True
        finally:
            self._pulse.turned(answered=answered)
        return answer
