"""The wait after a failed attempt: full jitter below a ceiling that doubles up to a cap."""

from datetime import timedelta
from random import Random

import pytest

from app.mail.sender import InDoubt, NotSent
from worker.handlers.delivery import delivery_retry_delay
from worker.retries import retry_delay


class Highest(Random):
    """Draws the highest number there is."""

    def random(self) -> float:
        return 1.0


class Lowest(Random):
    """Draws the lowest number there is."""

    def random(self) -> float:
        return 0.0


@pytest.mark.parametrize(("attempt", "ceiling"), [(1, 2), (2, 4), (3, 8), (9, 512), (10, 600), (17, 600), (5000, 600)])
def test_the_ceiling_doubles_up_to_ten_minutes(attempt: int, ceiling: int) -> None:
    assert retry_delay(attempt, ValueError(), Highest()) == timedelta(seconds=ceiling)
    assert retry_delay(attempt, ValueError(), Lowest()) == timedelta(0)


@pytest.mark.parametrize(("attempt", "planned"), [(1, 30), (2, 60), (7, 1920), (8, 3600), (20, 3600), (5000, 3600)])
def test_a_mail_waits_for_half_a_minute_and_then_longer_and_longer_up_to_an_hour(attempt: int, planned: int) -> None:
    down = NotSent("down", transient=True)
    assert delivery_retry_delay(attempt, down, Lowest()) == timedelta(seconds=0.8 * planned)
    assert delivery_retry_delay(attempt, down, Highest()) == timedelta(seconds=1.2 * planned)


def test_a_mail_waits_for_as_long_as_its_server_asks_but_no_less_than_planned() -> None:
    asked = NotSent("greylisted", transient=True, retry_after=300)
    assert delivery_retry_delay(1, asked, Lowest()) == timedelta(seconds=300)
    assert delivery_retry_delay(8, asked, Lowest()) == timedelta(seconds=2880)
    assert delivery_retry_delay(1, InDoubt("cut off", repeatable=True), Lowest()) == timedelta(seconds=24)
