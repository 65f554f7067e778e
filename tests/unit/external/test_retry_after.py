"""Both forms of `Retry-After`, and invalid values."""

from datetime import UTC, datetime

import pytest

from app.external.retry_after import retry_after

NOW = datetime(2025, 3, 4, 7, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "17"}, 17.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "86400"}, 86_400.0),
        ({"retry-after": "86401"}, 86_400.0),
        ({"retry-after": "99999999999999999999"}, 86_400.0),
        ({"retry-after": "Tue, 04 Mar 2025 07:05:00 GMT"}, 300.0),
        ({"retry-after": "Tue, 04 Mar 2025 07:05:00 -0000"}, 300.0),
        ({"retry-after": "Tue, 04 Mar 2025 09:05:00 +0200"}, 300.0),
        ({"retry-after": "Tue, 04 Mar 2025 06:05:00 GMT"}, 0.0),
        ({"retry-after": "Tue, 04 Mar 2042 06:05:00 GMT"}, 86_400.0),
        # The server's clock is a year behind: only the difference matters.
        ({"retry-after": "Mon, 04 Mar 2024 07:05:00 GMT", "date": "Mon, 04 Mar 2024 07:04:00 GMT"}, 60.0),
        ({"retry-after": "Tue, 04 Mar 2025 07:05:00 GMT", "date": "now"}, 300.0),
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "\u0663"}, None),
        ({"retry-after": "9" * 5_000_000}, 86_400.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Tue, 99 Mar 2025 07:05:00 GMT"}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 -2359"}, 86_400.0),
    ],
)
def test_retry_after_is_parsed(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds
