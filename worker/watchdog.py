"""Detects a claim loop that has stopped: counts its sync calls, and keeps the times of the last call and response."""

import asyncio
import faulthandler
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from app.errors import BroadsheetError

CHECKS_PER_LEASE = 10
"""How often in a lease the watchdog checks the claim loop and rearms the timer against a blocked event loop."""


class LoopStopped(BroadsheetError):
    """The claim loop has made no sync call for a whole lease: the process does no work and must be restarted."""

    title = "Claim loop stopped"


@dataclass(frozen=True)
class LoopHealth:
    """The state of the claim loop: running tasks, and seconds since its last sync call and its last response.

    A failed sync call counts as a call. `since_last_response` is None before the first response.
    """

    running_tasks: int
    since_last_call: float
    since_last_response: float | None


class Watchdog:
    """Counts the sync calls of the claim loop, and keeps the times of its last call and its last response."""

    def __init__(self) -> None:
        self.calls = 0
        self._called_at = asyncio.get_running_loop().time()
        self._responded_at: float | None = None

    def record_call(self, *, answered: bool) -> None:
        """Record that a sync call ended, with or without a response."""
        self.calls += 1
        self._called_at = asyncio.get_running_loop().time()
        if answered:
            self._responded_at = self._called_at

    def health(self, running_tasks: int) -> LoopHealth:
        """Return the current state of the claim loop."""
        now = asyncio.get_running_loop().time()
        return LoopHealth(
            running_tasks, now - self._called_at, None if self._responded_at is None else now - self._responded_at
        )


async def watch_loop(calls: Callable[[], int], lease: timedelta) -> None:
    """Check until cancelled that the claim loop makes calls. Raises `LoopStopped` after a lease without one.

    faulthandler watches the event loop itself: if it is blocked for a lease, this function cannot run. faulthandler
    then prints where it is blocked and ends the process with exit status 1. The timer stays armed when this function
    ends, so that a process that hangs while it stops is ended too.
    """
    seen, idle_checks = calls(), 0
    # Counted in checks, not in seconds: a suspended process (SIGSTOP) has missed no call when it continues.
    while idle_checks < CHECKS_PER_LEASE:
        faulthandler.dump_traceback_later(lease.total_seconds(), exit=True)
        await asyncio.sleep(lease.total_seconds() / CHECKS_PER_LEASE)
        idle_checks = idle_checks + 1 if calls() == seen else 0
        seen = calls()
    raise LoopStopped(f"The claim loop has made no call for {lease.total_seconds():g} s.")
