"""Computes the vectors of readers' papers again after an update has changed the normalisation of words."""

import asyncio
from random import Random
from typing import Final

import structlog

from app.errors import SupabaseError
from app.persistence.reader_papers import ReaderPapers
from app.ranking.vectors import MARK, vector_of
from app.sources.text import plain

log = structlog.get_logger(__name__)

EVERY: Final = 3_600.0
"""Seconds. During an update, processes of the earlier version still store vectors of their version."""
_BATCH: Final = 100
_MAX_REASON: Final = 300


class PaperVectors:
    """Replaces stored vectors of an earlier version.

    Several workers may do so at once: they compute the same vector from the same text, and it is stored once.
    """

    def __init__(self, papers: ReaderPapers, *, random: Random, every: float = EVERY) -> None:
        self._papers = papers
        self._random = random
        self._every = every

    async def run(self) -> None:
        """Run until cancelled. The first run starts after a random part of a second, so that workers alternate."""
        await asyncio.sleep(self._random.random())
        while True:
            try:
                await self.run_once()
            except SupabaseError as error:
                log.warning("rebuilding vectors postponed", error=plain(str(error), _MAX_REASON))
            await asyncio.sleep(self._every)

    async def run_once(self) -> None:
        """Replace all outdated vectors. Raises `SupabaseError`."""
        total = 0
        while found := await self._papers.outdated_vectors(MARK, _BATCH):
            made = {}
            for paper in found:
                # A text without words gets only the mark, so that it is not read again.
                made[paper.paper_id] = vector_of(paper.title or "", paper.abstract) or MARK
                await asyncio.sleep(0)
            stored = await self._papers.put_vectors(MARK, made)
            total += stored
            if not stored:
                break  # They were removed meanwhile.
        if total:
            log.info("vectors rebuilt", papers=total)
