"""A fetch waits for as long as a source asks, whatever the reason for which the source is unavailable."""

from datetime import timedelta
from typing import Any

import pytest

from app.errors import SourceBusy, SourceUnavailable
from app.fetch_service import RETRY_UNREACHABLE, FetchPostponed
from app.sources.fetcher import FetchFailed
from tests.unit.persistence.test_fetch_service import GOOD, Fetch, Scripted
from tests.unit.persistence.test_fetch_service import asked as asked  # noqa: PLC0414  (a fixture)
from tests.unit.persistence.test_fetch_service import fetch as fetch  # noqa: PLC0414  (a fixture)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (SourceBusy("429", retry_after=70.0), 70.0),
        (SourceUnavailable("503", retry_after=70.0), 70.0),
        (FetchFailed("HTTP 503", transient=True, retry_after=70.0), 70.0),
        (SourceUnavailable("503", retry_after=0.0), 0.0),
        (SourceUnavailable("refused"), RETRY_UNREACHABLE),
        (FetchFailed("refused", transient=True), RETRY_UNREACHABLE),
    ],
    ids=repr,
)
async def test_a_fetch_waits_for_as_long_as_its_source_asks(
    fetch: Fetch, asked: list[tuple[str, Any]], error: Exception, seconds: float
) -> None:
    with pytest.raises(FetchPostponed) as postponed:
        await fetch.of(Scripted("away", error), Scripted("good", [GOOD]), patience=timedelta(minutes=5))
    assert postponed.value.delay == timedelta(seconds=seconds)
    assert str(postponed.value).endswith(f"will be retried in {seconds:.0f} s")
    assert asked
