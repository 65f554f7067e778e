"""The delay after a failed attempt: full jitter below a limit that doubles up to a maximum."""

from datetime import timedelta
from random import Random

import pytest

from app.mail.sender import InDoubt, NotSent
from worker.handlers.delivery import delivery_retry_delay
from worker.retries import outage_delay, retry_delay


class Highest(Random):
    """A random generator that returns the highest number."""

    def random(self) -> float:
        return 1.0


class Lowest(Random):
    """A random generator that returns the lowest number."""

    def random(self) -> float:
        return 0.0


@pytest.mark.parametrize(("attempt", "ceiling"), [(1, 2), (2, 4), (3, 8), (9, 512), (10, 600), (17, 600), (5000, 600)])
def test_the_delay_limit_doubles_up_to_ten_minutes(attempt: int, ceiling: int) -> None:
    assert retry_delay(attempt, ValueError(), Highest()) == timedelta(seconds=ceiling)
    assert retry_delay(attempt, ValueError(), Lowest()) == timedelta(0)


@pytest.mark.parametrize(("waited", "delay"), [(0, 5), (20, 5), (60, 15), (2400, 600), (86400, 600)])
def test_the_longer_an_outage_the_rarer_the_attempts(waited: int, delay: int) -> None:
    assert outage_delay(timedelta(seconds=waited), Lowest()) == timedelta(seconds=delay / 2)
    assert outage_delay(timedelta(seconds=waited), Highest()) == timedelta(seconds=delay)


@pytest.mark.parametrize(("attempt", "planned"), [(1, 30), (2, 60), (7, 1920), (8, 3600), (20, 3600), (5000, 3600)])
def test_a_mails_delay_grows_from_half_a_minute_to_an_hour(attempt: int, planned: int) -> None:
    down = NotSent("down", transient=True)
    assert delivery_retry_delay(attempt, down, Lowest()) == timedelta(seconds=0.8 * planned)
    assert delivery_retry_delay(attempt, down, Highest()) == timedelta(seconds=1.2 * planned)


def test_a_mails_delay_is_at_least_the_servers_and_the_planned() -> None:
    error = NotSent("greylisted", transient=True, retry_after=300)
    assert delivery_retry_delay(1, error, Lowest()) == timedelta(seconds=300)
    assert delivery_retry_delay(8, error, Lowest()) == timedelta(seconds=2880)
    assert delivery_retry_delay(1, InDoubt("cut off", repeatable=True), Lowest()) == timedelta(seconds=24)
