"""The delay between a failed attempt and the next one."""

from collections.abc import Callable
from datetime import timedelta
from random import Random

FIRST_RETRY = timedelta(seconds=2)
LONGEST_RETRY = timedelta(minutes=10)

RetryDelay = Callable[[int, BaseException, Random], timedelta]
"""Maps the number of the failed attempt (1 for the first) and its error to the delay before the next one."""


def retry_delay(attempt: int, _error: BaseException, random: Random) -> timedelta:
    """Capped exponential backoff with full jitter: a random delay of 0 to min(cap, first * 2^(attempt-1)).

    Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempt - 1, 16))
    return timedelta(seconds=ceiling.total_seconds() * random.random())


FIRST_OUTAGE_DELAY = timedelta(seconds=5)


def outage_delay(waited: timedelta, random: Random) -> timedelta:
    """Return the delay while Supabase is unavailable: a quarter of the time waited so far, 5 seconds to 10 minutes.

    Half of it is random, so that the tasks of an outage do not all return at once.
    """
    delay = min(max(FIRST_OUTAGE_DELAY, waited / 4), LONGEST_RETRY)
    return delay * (1 + random.random()) / 2
