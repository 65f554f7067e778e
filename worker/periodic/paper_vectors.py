"""Computes the vectors of readers' papers again after an update has changed the normalisation of words."""

import asyncio
from random import Random
from typing import Final

import structlog

from app.persistence.reader_papers import ReaderPapers
from app.ranking.vectors import MARK, vector_of
from worker.periodic.repetition import repeat

log = structlog.get_logger(__name__)

EVERY: Final = 3_600.0
"""Seconds. During an update, processes of the earlier version still store vectors of their version."""
_BATCH: Final = 100


class PaperVectors:
    """Replaces stored vectors of an earlier version.

    Several workers may do so at once: they compute the same vector from the same text, and it is stored once.
    """

    def __init__(self, papers: ReaderPapers, *, random: Random, every: float = EVERY) -> None:
        self._papers = papers
        self._random = random
        self._every = every

    async def run(self) -> None:
        """Run until cancelled."""
        await repeat("rebuilding vectors", self._random, self.run_once, interval=self._every, first_within=1)

    async def run_once(self) -> None:
        """Replace all outdated vectors. Raises `SupabaseError`."""
        total = 0
        while found := await self._papers.outdated_vectors(MARK, _BATCH):
            made = {}
            for paper in found:
                # A text without words gets only the mark, so that it is not read again.
                made[paper] = vector_of(paper.title or "", paper.abstract) or MARK
                await asyncio.sleep(0)
            stored = await self._papers.put_vectors(MARK, made)
            total += stored
            if not stored:
                break  # They were removed or changed meanwhile.
        if total:
            log.info("vectors rebuilt", papers=total)
