"""The delay between a failed attempt and the next one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Final

FIRST_RETRY = timedelta(seconds=2)
LONGEST_RETRY = timedelta(minutes=10)
FIRST_OUTAGE_DELAY = timedelta(seconds=5)

RetryDelay = Callable[[int, BaseException, Random], timedelta]
"""Maps the number of the failed attempt (1 for the first) and its error to the delay before the next one."""


@dataclass(frozen=True)
class RetryPolicy:
    """A `RetryDelay`: the planned delays, of which the last one repeats, each times a random factor of a range.

    If the error has a `retry_after` (the seconds that a server requested), the delay is at least that.
    """

    planned: Sequence[timedelta]
    factors: tuple[float, float] = (0.8, 1.2)

    def __call__(self, attempt: int, error: BaseException, random: Random) -> timedelta:
        """Return the delay after the failed `attempt`."""
        delay = self.planned[min(attempt, len(self.planned)) - 1] * random.uniform(*self.factors)
        return max(delay, timedelta(seconds=getattr(error, "retry_after", None) or 0.0))


def doubled(first: timedelta, longest: timedelta) -> tuple[timedelta, ...]:
    """Return the delays of exponential backoff: `first`, doubled until `longest`."""
    return (longest,) if first >= longest else (first, *doubled(first * 2, longest))


retry_delay: Final = RetryPolicy(doubled(FIRST_RETRY, LONGEST_RETRY), factors=(0, 1))
"""Capped exponential backoff with full jitter.

Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""


def outage_delay(waited: timedelta, random: Random) -> timedelta:
    """Return the delay while Supabase is unavailable: a quarter of the time waited so far, 5 seconds to 10 minutes.

    Half of it is random, so that the tasks of an outage do not all return at once.
    """
    return min(max(FIRST_OUTAGE_DELAY, waited / 4), LONGEST_RETRY) * random.uniform(0.5, 1)
