"""How well each article of a window fits a reader: a share of 1 that means the same in every window.

Words count by BM25; feedback by the cosine to the nearest liked papers, by a classifier, and by the cosine to the
centroid (Rocchio 1971) of the papers that are too old to be compared one by one. How much each counts depends on how
much feedback there is. Measured on labelled readers with `make bench-ranking`; docs/PERFORMANCE.md has the figures.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.models import Profile
from app.ranking.calibration import THRESHOLD, chances, without_full
from app.ranking.counts import Reals, Terms
from app.ranking.feedback_model import FeedbackModel, Papers
from app.ranking.feedback_scores import MOST_COMPARED, FeedbackScores, best_of_each_kind
from app.ranking.fields import FEWEST
from app.ranking.index import Index
from app.ranking.interest_query import InterestQuery, Phrase
from app.ranking.text_vectors import Vectors
from app.ranking.word_scores import WordScores

# An interest is a text that the reader likes, and says less than a paper does.
_INTEREST: Final = 0.5
# Of articles that have an interest in full, if they are no more than this share of the window, enough are wanted.
_FEW: Final = 0.05
# Those that are lifted keep their order.
_ORDER: Final = 1e-3
# What is the same as a disliked paper loses so much of its log-odds.
_DISLIKED: Final = 1.5
# What a category adds to the log-odds, times what the article's place in it is worth.
_CATEGORY: Final = 0.5


class Scores:
    """A reader's scores.

    `chance` is each article's score, from 0 to 1. `feedback` is None where nothing is liked; then what is disliked
    counts by its likeness alone. `liked` are the liked papers.
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
        self.chance = chances(words, self.feedback, likes, more)
        if self.feedback is None and self.words.full:
            full = np.logical_or.reduce(self.words.full)
            self.chance[~full] = without_full(self.chance[~full])
        if not (query.whole or likes or profile.categories):
            self.chance[:] = 0
        self._lift_matches()
        if len(disliked):
            self._take_dislikes(disliked)

    def _lift_matches(self) -> None:
        """An interest that few articles have in full is wanted there, however briefly it is named."""
        few = _FEW * max(len(self._index.articles), FEWEST)
        for full in self.words.full:
            if full.sum() <= few:
                self.chance[full] = np.maximum(self.chance[full], THRESHOLD + _ORDER * self.chance[full])

    def _take_dislikes(self, disliked: Vectors) -> None:
        """What is like a disliked paper counts less, by how like it is; also where nothing is liked yet."""
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
    """The reader's own texts as papers that are liked less."""
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
