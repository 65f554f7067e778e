"""The logged reason of a failed look-up of papers is shortened."""

import asyncio
from random import Random
from typing import cast

import pytest
from structlog.testing import capture_logs

from app.errors import SourceError
from app.persistence.circuit_breaker import CircuitBreakers
from app.persistence.rate_limits import DistributedRateLimiter
from app.persistence.reader_papers import ReaderPapers
from app.sources.arxiv import ArxivSource
from worker.periodic.paper_look_ups import PaperLookUps


class FailingLookUps:
    """Fails with this reason when it lists the papers; ends the periodic job the second time."""

    def __init__(self, reason: str) -> None:
        self._reasons = [reason]

    async def to_look_up(self, _limit: int) -> list[str]:
        if not self._reasons:
            raise asyncio.CancelledError
        raise SourceError(self._reasons.pop())


@pytest.mark.parametrize(("length", "kept"), [(300, "x" * 300), (301, "x" * 299 + "\u2026")])
async def test_a_reason_is_limited_to_three_hundred_characters(length: int, kept: str) -> None:
    periodic_job = PaperLookUps(
        cast(ReaderPapers, FailingLookUps("x" * length)),
        cast(DistributedRateLimiter, None),
        cast(CircuitBreakers, None),
        cast(ArxivSource, None),
        random=Random(1),
        interval=0,
    )
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await periodic_job.run()
    assert [each["error"] for each in logs if each["event"] == "look-up of papers postponed"] == [kept]
