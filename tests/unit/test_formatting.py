"""Numbers for people."""

import pytest

from app.formatting import count_up_to


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (999, "999"), (1000, "1,000 or more")])
def test_a_count_that_reached_its_limit_says_so(number: int, text: str) -> None:
    assert count_up_to(1000, number) == text
