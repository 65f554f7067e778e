"""Ranks the articles of a window for one reader: selects the best, with a score and reasons for each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from app.models.articles import Article
from app.models.digests import Reason
from app.models.profiles import Profile, RatedPaper
from app.ranking.feedback_model import FeedbackModel
from app.ranking.index import Index
from app.ranking.interest_query import InterestQuery
from app.ranking.reasons import Reasons
from app.ranking.scores import Scores
from app.ranking.selection import Pick, Selection

_REORDERED: Final = 40

Reorder = Callable[[Sequence[Article]], Awaitable[Sequence[int]]]
"""Gets articles sorted best first, and returns their positions in a better order, each once."""


@dataclass(frozen=True, slots=True)
class RankingSettings:
    """The most items of a digest."""

    papers: int = 12
    news: int = 6


@dataclass(frozen=True, slots=True)
class Ranked:
    """An article selected for a digest: `score` from 0 to 1, and the `interests` that it contains in full."""

    article: Article
    score: float
    reasons: tuple[Reason, ...]
    interests: tuple[str, ...]

    @classmethod
    def of(cls, pick: Pick, index: Index, scores: Scores, reasons: Reasons) -> Self:
        """Describe a selected article."""
        score = round(float(scores.chance[pick.number]), 4)
        return cls(index.articles[pick.number], score, reasons.of(pick), reasons.interests(pick.number))


@dataclass(frozen=True, slots=True)
class Ranking:
    """The selected items, best first. `considered` articles were ranked, of which `duplicates` were duplicates."""

    papers: tuple[Ranked, ...]
    news: tuple[Ranked, ...]
    considered: int
    duplicates: int


async def rank(
    index: Index,
    profile: Profile,
    settings: RankingSettings,
    papers: Sequence[RatedPaper] = (),
    reorder: Reorder | None = None,
    shown: Sequence[int] = (),
) -> Ranking:
    """Select a reader's papers and news from a window, by the profile and the `papers` that the reader rated.

    `reorder` gets the best 40 papers. Articles of the window in `shown` are excluded: the reader knows them already.
    """
    query = InterestQuery.of(profile)
    feedback = FeedbackModel.of(papers, index.newest)
    scores = Scores(index, profile, query, feedback)
    selection = Selection(index, scores, profile, query)
    fresh = np.ones(len(index.articles), dtype=np.bool_)
    fresh[list(shown)] = False
    best = selection.candidates(index.is_paper & fresh, settings.papers)
    if reorder and best and settings.papers:
        first = best[:_REORDERED]
        best[:_REORDERED] = [first[place] for place in await reorder([index.articles[number] for number in first])]
    chosen = selection.pick(best, settings.papers)
    news = selection.pick(selection.candidates(~index.is_paper & fresh, settings.news), settings.news)
    await asyncio.sleep(0)
    reasons = Reasons(index, scores, profile, query, feedback)
    # If the reader has seen a part of the window, an earlier digest has already counted the duplicates.
    repeats = 0 if shown else sum(day.repeats for day in index.days)
    return Ranking(
        papers=tuple(Ranked.of(pick, index, scores, reasons) for pick in chosen),
        news=tuple(Ranked.of(pick, index, scores, reasons) for pick in news),
        considered=int(fresh.sum()) + repeats,
        duplicates=repeats,
    )
