"""Looks up at arXiv the papers for which readers gave only an id."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Final
from uuid import uuid4

import structlog

from app.errors import CircuitOpen, SourceBusy, SourceError, SupabaseError
from app.models import Article
from app.persistence.circuit_breaker import CircuitBreakers
from app.persistence.rate_limits import DistributedRateLimiter
from app.persistence.reader_papers import PaperInput, ReaderPapers
from app.ranking.reader_paper import paper_of
from app.sources.arxiv import MAX_IDS, ArxivSource
from worker.periodic.repetition import repeat

log = structlog.get_logger(__name__)

INTERVAL: Final = 30.0
"""Seconds."""
_PERMIT, _HOLD = "readers' papers", 300.0


class PaperLookUps:
    """Looks up readers' papers, a hundred at a time. Each unknown id is looked up only once."""

    def __init__(
        self,
        papers: ReaderPapers,
        permits: DistributedRateLimiter,
        breakers: CircuitBreakers,
        arxiv: ArxivSource,
        *,
        random: Random,
        interval: float = INTERVAL,
    ) -> None:
        self._papers = papers
        self._permits = permits
        self._breakers = breakers
        self._arxiv = arxiv
        self._random = random
        self._interval = interval

    async def run(self) -> None:
        """Run until cancelled."""
        expected = (SourceError, SourceBusy, CircuitOpen, SupabaseError)
        await repeat(self.run_once, "look-up of papers", self._random, interval=self._interval, expected=expected)

    async def run_once(self) -> None:
        """Look up all papers that need it, unless another worker does it now.

        Raises arXiv's `SourceError`, `SourceBusy` and `CircuitOpen`, and `SupabaseError`.
        """
        token = uuid4()
        if not await self._papers.to_look_up(1):
            return
        if await self._permits.acquire(_PERMIT, token, interval=0, hold=_HOLD) > 0:
            return
        try:
            while ids := await self._papers.to_look_up(MAX_IDS):
                async with self._breakers.guard(self._arxiv.name, SourceError):
                    found = await self._arxiv.look_up(ids)
                await self._papers.record_looked_up(ids, await _papers_of(found))
                log.info("papers looked up", requested=len(ids), found=len(found))
        finally:
            await self._permits.release(_PERMIT, token, pause=0)


async def _papers_of(articles: Sequence[Article]) -> list[PaperInput]:
    papers = []
    for article in articles:
        papers.append(paper_of(article))
        await asyncio.sleep(0)
    return papers
