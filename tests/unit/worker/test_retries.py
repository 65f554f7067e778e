"""The wait after a failed attempt: full jitter below a ceiling that doubles up to a cap."""

from datetime import timedelta
from random import Random

import pytest

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
