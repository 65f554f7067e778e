"""Asks arXiv for the papers of which readers gave nothing but an id."""

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
from app.sources.arxiv import MOST_IDS, ArxivSource
from app.sources.text import plain

log = structlog.get_logger(__name__)

EVERY: Final = 30.0
"""Seconds."""
_TURN, _HOLD = "readers' papers", 300.0
_MAX_REASON: Final = 300


class PaperLookUps:
    """Looks up readers' papers, a hundred at a time; what arXiv does not know is asked for once."""

    def __init__(
        self,
        papers: ReaderPapers,
        turns: DistributedRateLimiter,
        breakers: CircuitBreakers,
        arxiv: ArxivSource,
        *,
        random: Random,
        every: float = EVERY,
    ) -> None:
        self._papers = papers
        self._turns = turns
        self._breakers = breakers
        self._arxiv = arxiv
        self._random = random
        self._every = every

    async def run(self) -> None:
        """Go on until cancelled; the first time after a random part of the time between, so that workers take turns."""
        await asyncio.sleep(self._every * self._random.random())
        while True:
            try:
                await self.run_once()
            except (SourceError, SourceBusy, CircuitOpen, SupabaseError) as error:
                log.warning("look-up of papers put off", error=plain(str(error), _MAX_REASON))
            await asyncio.sleep(self._every)

    async def run_once(self) -> None:
        """Look up all that is to be, unless another worker does.

        Raises `SourceError`, `SourceBusy` and `CircuitOpen` of arXiv, and `SupabaseError`.
        """
        token = uuid4()
        if not await self._papers.to_look_up(1) or await self._turns.take(_TURN, token, interval=0, hold=_HOLD) > 0:
            return
        try:
            while ids := await self._papers.to_look_up(MOST_IDS):
                async with self._breakers.guard(self._arxiv.name, SourceError):
                    found = await self._arxiv.look_up(ids)
                await self._papers.record_looked_up(ids, await _papers_of(found))
                log.info("papers looked up", asked=len(ids), found=len(found))
        finally:
            await self._turns.end(_TURN, token, pause=0)


async def _papers_of(articles: Sequence[Article]) -> list[PaperInput]:
    papers = []
    for article in articles:
        papers.append(paper_of(article))
        await asyncio.sleep(0)
    return papers
