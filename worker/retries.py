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
