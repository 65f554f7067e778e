"""Scores each article of a window for a reader, from 0 to 1, with the same meaning in every window.

The parts are: BM25 of the words; for feedback the cosine to the nearest liked papers, a classifier, and the cosine to
the centroid (Rocchio 1971) of the papers that are too old to be compared one by one. Their weights depend on the amount
of feedback. `make bench-ranking` measures this on labelled readers; docs/PERFORMANCE.md has the figures.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.models.profiles import Profile
from app.ranking.calibration import THRESHOLD, lower_without_full_interest, scores_of
from app.ranking.counts import Reals, Terms
from app.ranking.feedback_model import FeedbackModel, Papers
from app.ranking.feedback_scores import MOST_COMPARED, FeedbackScores, best_of_each_kind
from app.ranking.fields import FEWEST
from app.ranking.index import Index
from app.ranking.interest_query import InterestQuery, Phrase
from app.ranking.text_vectors import Vectors
from app.ranking.word_scores import WordScores

# The weight of an interest as a liked text; it contains less information than a paper.
_INTEREST: Final = 0.5
# If at most this share of the window contains an interest in full, these articles are usually wanted.
_FEW: Final = 0.05
# Keeps the order of raised scores.
_ORDER: Final = 1e-3
# The log-odds that an article loses if it equals a disliked paper.
_DISLIKED: Final = 1.5
# The log-odds that a category adds, times the weight of the category in the article.
_CATEGORY: Final = 0.5


class Scores:
    """A reader's scores.

    `chance` is each article's score, from 0 to 1. `feedback` is None without liked papers; disliked papers then only
    lower the scores of similar articles. `liked` are the liked papers.
    """

    def __init__(self, index: Index, profile: Profile, query: InterestQuery, model: FeedbackModel) -> None:
        self._index = index
        self.words = WordScores(index, query)
        self.liked = Vectors.of(index, model.liked)
        self.feedback: FeedbackScores | None = None
        disliked = Vectors.of(index, model.disliked)
        if not index.articles:
            self.chance: Reals = np.empty(0, dtype=np.float32)
            return
        if len(self.liked):
            texts = Vectors.of(index, _papers(query.whole))
            self.feedback = FeedbackScores.of(index, self.liked, disliked, texts)
        likes = float(model.liked.weights.sum())
        more = _CATEGORY * self._of_categories(profile)
        words = self.words.strength if self.feedback else self.words.expanded()
        self.chance = scores_of(words, self.feedback, likes, more)
        if self.feedback is None and self.words.full:
            full = np.logical_or.reduce(self.words.full)
            self.chance[~full] = lower_without_full_interest(self.chance[~full])
        if not (query.whole or likes or profile.categories):
            self.chance[:] = 0
        self._lift_matches()
        if len(disliked):
            self._lower_disliked(disliked)

    def _lift_matches(self) -> None:
        """Raise the scores of articles with an interest in full above the threshold, if such articles are few."""
        few = _FEW * max(len(self._index.articles), FEWEST)
        for full in self.words.full:
            if full.sum() <= few:
                self.chance[full] = np.maximum(self.chance[full], THRESHOLD + _ORDER * self.chance[full])

    def _lower_disliked(self, disliked: Vectors) -> None:
        """Lower the scores of articles by their similarity to disliked papers, also without liked papers."""
        articles = best_of_each_kind(self._index, self.chance)
        nearest = disliked.first(MOST_COMPARED).similarities(self._index, articles).max(axis=1)
        chance = self.chance[articles]
        self.chance[articles] = chance / (chance + (1 - chance) * np.exp(_DISLIKED * np.minimum(nearest, 1)))

    def _of_categories(self, profile: Profile) -> Reals:
        worth = np.zeros(len(self._index.articles), dtype=np.float32)
        for category in profile.categories:
            for numbers, weight in self._index.sections.get(category, ()):
                worth[numbers] = np.maximum(worth[numbers], weight)
        return worth


def _papers(phrases: Sequence[Phrase]) -> Papers:
    """Return the texts of the profile as liked papers with a lower weight."""
    terms = [phrase.terms() for phrase in phrases]
    sizes = np.array([len(each) for each in terms], dtype=np.intp)
    together: Terms = np.concatenate([np.empty(0, np.uint32), *terms])
    return Papers(
        titles=tuple(phrase.text for phrase in phrases),
        weights=np.full(len(terms), _INTEREST, dtype=np.float32),
        owner=np.repeat(np.arange(len(terms), dtype=np.int32), sizes),
        terms=together,
        counts=np.ones(len(together), dtype=np.uint8),
    )
