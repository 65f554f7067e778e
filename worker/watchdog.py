"""Whether the claim loop goes on: when it last turned, and when Supabase last answered it."""

import asyncio
import faulthandler
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from app.errors import BroadsheetError

TICKS = 10
"""How often in a lease the watch looks, and the loop shows to the outside that it is not held."""


class LoopStopped(BroadsheetError):
    """The claim loop has not turned for a whole lease: this process does nothing any more, and must be started anew."""

    title = "Claim loop stopped"


@dataclass(frozen=True)
class LoopHealth:
    """The claim loop as seen from beside it: tasks in hand, and seconds since its last turn and its last answer.

    A turn is a sync call that ended, answered or not; None: no call was answered yet.
    """

    running_tasks: int
    since_turn: float
    since_answer: float | None


class Watchdog:
    """Counts the turns of the claim loop, and keeps the times of its last turn and its last answer."""

    def __init__(self) -> None:
        self.turns = 0
        self._turned_at = asyncio.get_running_loop().time()
        self._answered_at: float | None = None

    def turned(self, *, answered: bool) -> None:
        """A sync call ended, with an answer or without."""
        self.turns += 1
        self._turned_at = asyncio.get_running_loop().time()
        if answered:
            self._answered_at = self._turned_at

    def health(self, running_tasks: int) -> LoopHealth:
        """How things stand now."""
        now = asyncio.get_running_loop().time()
        return LoopHealth(
            running_tasks, now - self._turned_at, None if self._answered_at is None else now - self._answered_at
        )


async def watch_loop(turns: Callable[[], int], lease: timedelta) -> None:
    """Look beside the claim loop whether it turns, until cancelled; raises `LoopStopped` when a lease passes without.

    The event loop itself is watched from outside: if it is held for a lease, this cannot run, and faulthandler says
    where it is held and ends the process with exit status 1. That stays armed when this ends, for the same reason: a
    process that then hangs instead of ending is ended.
    """
    seen, quiet = turns(), 0
    # Counted in looks, not in seconds: a process that was stopped and goes on has missed no turn.
    while quiet < TICKS:
        faulthandler.dump_traceback_later(lease.total_seconds(), exit=True)
        await asyncio.sleep(lease.total_seconds() / TICKS)
        quiet = quiet + 1 if turns() == seen else 0
        seen = turns()
    raise LoopStopped(f"The claim loop has not turned for {lease.total_seconds():g} s.")
