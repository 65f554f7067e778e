"""Makes sync calls: repeats one while Supabase is unavailable, and splits one that Supabase rejects."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import structlog

from app.errors import SchemaOutdated, SupabaseRejected, SupabaseUnavailable, UnreadableResponse
from app.models.tasks import TaskKind
from app.persistence.outcomes import Failed, Lease, Outcome
from app.persistence.queue import Progress, SyncCall, SyncResponse, TaskQueue
from worker.watchdog import Watchdog

log = structlog.get_logger(__name__)

FIRST_BACKOFF, LONGEST_BACKOFF = 0.1, 5.0

UNREADABLE = 3
"""After so many unreadable responses to one call, the stored response itself counts as unreadable."""


@dataclass(frozen=True, slots=True)
class Slots:
    """How many tasks may be claimed: `total`, and at most `per_kind` of each kind that it contains."""

    total: int
    per_kind: Mapping[TaskKind, int] = field(default_factory=dict)


class Syncer:
    """Makes a worker's sync calls, one at a time."""

    def __init__(self, queue: TaskQueue, random: Random, watchdog: Watchdog, lease: timedelta) -> None:
        self._queue = queue
        self._random = random
        self._watchdog = watchdog
        # The longest call and the longest wait take a third of a lease each: their sum stays below the lease.
        self._max_backoff = min(LONGEST_BACKOFF, lease.total_seconds() / 6)

    async def sync(
        self, outcomes: Mapping[Lease, Outcome], progress: Mapping[Lease, Progress], slots: Slots
    ) -> SyncResponse:
        """Make a call and return its response. While Supabase is unavailable, send the same call again.

        If a call is rejected, send each of its outcomes in a separate call, and then the rest. A task whose outcome
        is rejected again fails.
        """
        if outcomes:
            try:
                return await self._send(self._prepare(outcomes, progress, slots))
            except SupabaseRejected as error:
                log.error("sync call rejected, sending its outcomes singly", error=str(error), outcomes=len(outcomes))
            # If this is accepted, the outcomes caused the rejection.
            await self._send_until_accepted(self._prepare({}, progress, Slots(0)))
            for lease, outcome in outcomes.items():
                await self._send_single(lease, outcome)
        return await self._send_until_accepted(self._prepare({}, progress, slots))

    def _prepare(self, outcomes: Mapping[Lease, Outcome], progress: Mapping[Lease, Progress], slots: Slots) -> SyncCall:
        return self._queue.prepare(outcomes=outcomes, progress=progress, slots=slots.total, kind_slots=slots.per_kind)

    async def _send_single(self, lease: Lease, outcome: Outcome) -> None:
        try:
            await self._send(self._prepare({lease: outcome}, {}, Slots(0)))
        except SupabaseRejected as error:
            log.error("outcome rejected, its task fails", task_id=str(lease.task_id), error=str(error))
            await self._send_failure(lease, f"the database rejected the outcome: {error}")

    async def _send_failure(self, lease: Lease, reason: str) -> None:
        try:
            await self._send(self._prepare({lease: Failed(error=reason, retry_in=None)}, {}, Slots(0)))
        except SupabaseRejected as error:
            # The other outcomes must not wait for this one. Its lease expires.
            log.error("failure of a task rejected", task_id=str(lease.task_id), error=str(error))

    async def _send_until_accepted(self, call: SyncCall) -> SyncResponse:
        """Send a call without outcomes. A rejection is not caused by a task: an operator must fix the project."""
        while True:
            try:
                return await self._send(call)
            except SupabaseRejected as error:
                log.error("Supabase rejects the worker's calls, retrying", error=str(error))
            await asyncio.sleep(self._max_backoff)

    async def _send(self, call: SyncCall) -> SyncResponse:
        """Send a call until it gets a readable response. Raises `SupabaseRejected`."""
        backoff, unreadable = FIRST_BACKOFF, 0
        while True:
            try:
                return await self._send_once(call)
            except (SupabaseUnavailable, SchemaOutdated) as error:
                log.warning("sync call not answered, retrying", number=call.number, error=str(error))
                unreadable += isinstance(error, UnreadableResponse)
            if unreadable == UNREADABLE:
                # The same number would always return the same response. The leases of its claims expire.
                log.error("response given up, the call continues under the next number", number=call.number)
                call, unreadable = self._queue.without_claims(call), 0
            await asyncio.sleep(backoff * self._random.uniform(0.5, 1.0))
            backoff = min(self._max_backoff, backoff * 2)

    async def _send_once(self, call: SyncCall) -> SyncResponse:
        answered = False
        try:
            response = await self._queue.sync(call)
            answered = True
        finally:
            self._watchdog.record_call(answered=answered)
        return response
