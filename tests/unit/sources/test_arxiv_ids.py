"""arXiv's identifiers, and the query for a day."""

from datetime import date

import pytest

from app.sources.arxiv import search_query
from app.sources.arxiv_id import arxiv_id
from app.sources.rate_limiter import RateLimiter


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("http://arxiv.org/abs/2201.13452v1", "2201.13452"),
        ("https://arxiv.org/abs/0704.0001", "0704.0001"),
        ("http://arxiv.org/abs/nucl-ex/0408020v1", "nucl-ex/0408020"),
        ("http://arxiv.org/abs/math.GT/0309136v12", "math.GT/0309136"),
        ("oai:arXiv.org:2508.13426v1", "2508.13426"),
        ("http://arxiv.org/abs/cs/0112017", "cs/0112017"),
        ("arXiv:2508.13426v3", "2508.13426"),
        ("https://arxiv.org/pdf/2508.13426v3.pdf", "2508.13426"),
        ("2508.13426", "2508.13426"),
        ("http://arxiv.org/api/errors#incorrect_id", None),
        ("https://example.org/", None),
    ],
)
def test_identifiers_have_no_version(text: str, identifier: str | None) -> None:
    assert arxiv_id(text) == identifier


def test_without_categories_the_query_covers_the_day() -> None:
    assert search_query((), date(2025, 3, 4)) == "submittedDate:[202503040000 TO 202503042359]"


async def test_requests_start_three_seconds_apart() -> None:
    now = 100.0
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        waited.append(seconds)
        now += seconds

    limiter = RateLimiter(clock=lambda: now, sleep=sleep)
    for duration in (1.0, 5.0, 0.0, 0.0):
        async with limiter.permit():
            now += duration
    assert waited == [2.0, 3.0]
