"""Turns selected articles into a digest's items: the interface, and its implementation by extraction from abstracts."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.digest.extractive import Extract, Extractor
from app.models.articles import Article
from app.models.digests import AnalysisMethod, DigestItem, FallbackReason, ModelUsage
from app.models.profiles import Profile
from app.ranking.ranking import Ranked


@dataclass(frozen=True, slots=True)
class Analysed:
    """The items in input order, and the model usage."""

    items: tuple[DigestItem, ...]
    usage: ModelUsage


class Analysis(Protocol):
    """The analysis of one digest."""

    async def reorder(self, articles: Sequence[Article]) -> Sequence[int]:
        """Return the positions of `articles`, best first. The default is the given order."""

    async def analyse(self, items: Sequence[Ranked]) -> Analysed:
        """Analyse every item. Failures are replaced by extracts."""


class Analyst(Protocol):
    """Turns selected articles into items of a digest."""

    def begin(self, profile: Profile) -> Analysis:
        """Start the analysis of one digest, with its own budget."""


class ExtractiveAnalyst:
    """Extracts summaries without a model."""

    def begin(self, profile: Profile) -> Analysis:
        """Start the analysis of one digest."""
        return _Extraction(Extractor(profile))


@dataclass(frozen=True, slots=True)
class _Extraction:
    extractor: Extractor

    async def reorder(self, articles: Sequence[Article]) -> Sequence[int]:
        return range(len(articles))

    async def analyse(self, items: Sequence[Ranked]) -> Analysed:
        """Extract each item's summary from its abstract, and yield to the event loop between items."""
        done: list[DigestItem] = []
        for item in items:
            done.append(analysed_item(item, self.extractor.extract(item.article), AnalysisMethod.EXTRACTIVE))
            await asyncio.sleep(0)
        return Analysed(tuple(done), ModelUsage())


def analysed_item(
    item: Ranked,
    extract: Extract,
    method: AnalysisMethod,
    *,
    fallback: FallbackReason | None = None,
    language: str | None = None,
) -> DigestItem:
    """Return the digest's item with this summary. `language` is that of the model's summary."""
    return DigestItem(
        article=item.article,
        score=item.score,
        reason="; ".join(reason.text for reason in item.reasons),
        reasons=item.reasons,
        summary=extract.summary,
        key_points=extract.key_points,
        analysis=method,
        fallback=fallback,
        language=language,
    )
