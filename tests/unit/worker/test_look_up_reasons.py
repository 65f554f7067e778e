"""What a worker says of a look-up of papers that failed: its reason, cut to size."""

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


class Refusing:
    """Cannot say which papers are to be looked up, for this reason; ends the periodic_job the second time."""

    def __init__(self, reason: str) -> None:
        self._reasons = [reason]

    async def to_look_up(self, _limit: int) -> list[str]:
        if not self._reasons:
            raise asyncio.CancelledError
        raise SourceError(self._reasons.pop())


@pytest.mark.parametrize(("length", "kept"), [(300, "x" * 300), (301, "x" * 299 + "\u2026")])
async def test_of_a_reason_three_hundred_characters_are_kept(length: int, kept: str) -> None:
    periodic_job = PaperLookUps(
        cast(ReaderPapers, Refusing("x" * length)),
        cast(DistributedRateLimiter, None),
        cast(CircuitBreakers, None),
        cast(ArxivSource, None),
        random=Random(1),
        interval=0,
    )
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await periodic_job.run()
    assert [each["error"] for each in logs if each["event"] == "look-up of papers postponed"] == [kept]
