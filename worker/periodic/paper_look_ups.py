"""Looks up, at arXiv and Crossref, the papers for which readers gave only an arXiv id or a DOI."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Final
from uuid import uuid4

import structlog

from app.errors import CircuitOpen, SourceBusy, SourceError, SupabaseError
from app.models.articles import Article, Publication
from app.persistence.circuit_breaker import CircuitBreakers
from app.persistence.rate_limits import DistributedRateLimiter
from app.persistence.reader_papers import PaperInput, ReaderPapers
from app.ranking.reader_paper import paper_of
from app.sources.arxiv import MAX_IDS, ArxivSource
from app.sources.crossref import MAX_DOIS, Crossref
from worker.periodic.repetition import repeat

log = structlog.get_logger(__name__)

INTERVAL: Final = 30.0
"""Seconds."""
_PERMIT, _DOI_PERMIT, _HOLD = "readers' papers", "readers' DOIs", 300.0


class PaperLookUps:
    """Looks up readers' papers, a list at a time: arXiv's ids at arXiv, other DOIs at Crossref. Each name only once."""

    def __init__(
        self,
        papers: ReaderPapers,
        permits: DistributedRateLimiter,
        breakers: CircuitBreakers,
        arxiv: ArxivSource,
        crossref: Crossref | None = None,
        *,
        random: Random,
        interval: float = INTERVAL,
    ) -> None:
        self._papers = papers
        self._permits = permits
        self._breakers = breakers
        self._arxiv = arxiv
        self._crossref = crossref
        self._random = random
        self._interval = interval

    async def run(self) -> None:
        """Run until cancelled. A failed look-up of one kind does not delay the other."""
        expected = (SourceError, SourceBusy, CircuitOpen, SupabaseError)
        works = (self.run_once, self.run_once_for_dois)
        await repeat("look-up of papers", self._random, *works, interval=self._interval, expected=expected)

    async def run_once(self) -> None:
        """Look up all arXiv ids that need it, unless another worker does it now.

        Raises arXiv's `SourceError`, `SourceBusy` and `CircuitOpen`, and `SupabaseError`.
        """
        if not await self._papers.to_look_up(1):
            return
        async with self._permit(_PERMIT) as acquired:
            while acquired and (ids := await self._papers.to_look_up(MAX_IDS)):
                async with self._breakers.guard(self._arxiv.name, SourceError):
                    found = await self._arxiv.look_up(ids)
                papers = await _papers_of([(article, None) for article in found])
                await self._papers.record_looked_up(ids, papers)
                log.info("papers looked up", requested=len(ids), found=len(found))

    async def run_once_for_dois(self) -> None:
        """Look up all DOIs that need it, unless another worker does it now. Raises the same errors as `run_once`."""
        if self._crossref is None or not await self._papers.dois_to_look_up(1):
            return
        async with self._permit(_DOI_PERMIT) as acquired:
            while acquired and (dois := await self._papers.dois_to_look_up(MAX_DOIS)):
                async with self._breakers.guard(self._crossref.name, SourceError):
                    found = await self._crossref.look_up(dois)
                await self._papers.record_looked_up([], await _papers_of(found), dois=dois)
                log.info("papers looked up by DOI", requested=len(dois), found=len(found))

    @asynccontextmanager
    async def _permit(self, name: str) -> AsyncIterator[bool]:
        """Hold the permit of one kind of look-up; false if another worker holds it."""
        token = uuid4()
        acquired = await self._permits.acquire(name, token, interval=0, hold=_HOLD) <= 0
        try:
            yield acquired
        finally:
            if acquired:
                await self._permits.release(name, token, pause=0)


async def _papers_of(found: Sequence[tuple[Article, Publication | None]]) -> list[PaperInput]:
    papers = []
    for article, publication in found:
        papers.append(paper_of(article, publication))
        await asyncio.sleep(0)
    return papers
