"""How well each article of a window fits a reader, on a scale that is the same for every day and every reader.

Words count by BM25, divided by what an article could reach that meets the reader's longest text whole; taste by the
cosine to the centroid of what is liked (Rocchio 1971) and to its nearest papers. Both are mixed by how much taste there
is. Measured on labelled readers with `make bench-ranking`; docs/PERFORMANCE.md has the figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.models import Profile
from app.ranking.counts import Numbers, Reals, Terms
from app.ranking.index import Index, stable_order
from app.ranking.taste import FeedbackModel, Papers, joined
from app.ranking.wish import InterestQuery

_TITLE: Final = 0.25
# Brings BM25 to the range of the cosines.
_WORDS_SCALE: Final = 0.125
# So many liked papers count as much as the words do.
_EVEN: Final = 5.0
# An interest is a text that the reader likes, and says less than a paper does.
_INTEREST: Final = 0.5
_CENTROID: Final = 0.25
_NEAREST: Final = 3
_CANDIDATES: Final = 200
"""Of each kind so many, the best by all else, are compared with each liked paper."""
_DISLIKED: Final = 0.5
# A category alone says less than a weak match of words, and makes a strong match stronger.
_CATEGORY_FACTOR: Final = 0.25
_CATEGORY_ALONE: Final = 0.01

# What a word counts that a text has so often: counts are bytes, of one at least.
_COUNTED: Final = 1 + np.log(np.arange(256).clip(1), dtype=np.float32)

Found = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Vectors:
    """Texts as tf-idf vectors of length 1 over a window's terms, one behind the other, each with its weight."""

    weights: Reals
    owner: Numbers
    numbers: Numbers
    values: Reals

    @classmethod
    def of(cls, index: Index, papers: Papers) -> "Vectors":
        """Weigh papers by the window's document frequencies; terms that it lacks count for the length alone."""
        numbers, known = index.find(papers.terms)
        values = _COUNTED[papers.counts] * index.weigh(numbers, known)
        lengths = np.sqrt(np.bincount(papers.owner, values * values, len(papers)))
        values /= np.maximum(lengths, 1e-9)[papers.owner]
        return cls(papers.weights, papers.owner[known], numbers[known], values[known].astype(np.float32))

    def centroid(self, terms: int) -> Reals:
        """Return the direction of their weighted sum, over so many terms."""
        total = np.bincount(self.numbers, self.values * self.weights[self.owner], terms)
        return (total / max(float(np.sqrt((total * total).sum())), 1e-9)).astype(np.float32)

    def similarities(self, index: Index, articles: Found) -> Reals:
        """Return the weighted cosine of each of these articles to each text."""
        values = self.values * self.weights[self.owner]
        columns = index.columns[self.numbers]
        common, rare = columns >= 0, columns < 0
        texts = np.zeros((len(self.weights), index.common.shape[1]), dtype=np.float32)
        texts[self.owner[common], columns[common]] = values[common]
        similar: Reals = index.common[articles] @ texts.T
        _add_pairs(similar, index.rare.of(articles), (self.owner[rare], self.numbers[rare], values[rare]))
        return similar


_Entries = tuple[Numbers, Numbers, Reals]
"""Whose each entry is, of which term, and how much."""


def _add_pairs(similar: Reals, articles: _Entries, texts: _Entries) -> None:
    """Add the product of each entry of an article with all entries of texts that have its term."""
    order = stable_order(texts[1])
    having = np.bincount(texts[1], minlength=int(articles[1].max(initial=0)) + 1)
    met = having[articles[1]] > 0
    row, terms, weights = (each[met] for each in articles)
    times = having[terms]
    left = np.repeat(np.arange(len(row)), times)
    first = (np.cumsum(having) - having)[terms]
    right = order[np.arange(len(left)) - np.repeat(np.cumsum(times) - times - first, times)]
    places = row[left] * similar.shape[1] + texts[0][right]
    added = np.bincount(places, weights[left] * texts[2][right], similar.size)
    similar += added.reshape(similar.shape).astype(np.float32)


class Scores:
    """A reader's scores: each article's `strength`, and how `similar` the `candidates` are to each liked paper."""

    def __init__(self, index: Index, profile: Profile, wish: InterestQuery, taste: FeedbackModel) -> None:
        self._index = index
        self._likes = len(taste.liked)
        self.candidates: Found = np.empty(0, dtype=np.intp)
        self.strength = self._of_words(wish)
        self.liked = Vectors.of(index, joined(taste.liked, _texts(wish)))
        self.similar: Reals = np.empty((0, self._likes), dtype=np.float32)
        if not index.articles:
            return
        if self._likes:
            self._add_likes(float(taste.liked.weights.sum()))
        if len(taste.disliked):
            self._take_dislikes(Vectors.of(index, taste.disliked))
        worth = self._of_categories(profile)
        self.strength = self.strength * (1 + _CATEGORY_FACTOR * worth) + _CATEGORY_ALONE * worth

    def _of_words(self, wish: InterestQuery) -> Reals:
        squares = (wish.weights * self._index.rarities(wish.terms)) ** 2
        by_stem = dict(zip(wish.stems, squares.tolist(), strict=True))
        whole = max((sum(by_stem[stem] for stem in set(phrase.stems)) for phrase in wish.whole), default=1.0)
        return self._index.bm25(wish.terms, wish.weights, _TITLE) * np.float32(_WORDS_SCALE / whole**0.5)

    def _add_likes(self, weight: float) -> None:
        share = _EVEN / (_EVEN + weight)
        centre = self._index.cosines(self.liked.centroid(len(self._index.terms)))
        self.strength = share * self.strength + (1 - share) * _CENTROID * centre
        self.candidates = self._best()
        near = self.liked.similarities(self._index, self.candidates)
        count = min(_NEAREST, near.shape[1])
        nearest = np.partition(near, -count, axis=1)[:, -count:].sum(axis=1) / count
        self.strength[self.candidates] += (1 - share) * (1 - _CENTROID) * nearest
        self.similar = near[:, : self._likes] / self.liked.weights[: self._likes]

    def _take_dislikes(self, disliked: Vectors) -> None:
        articles = self._best()
        nearest = disliked.similarities(self._index, articles).max(axis=1)
        self.strength[articles] *= 1 - _DISLIKED * np.minimum(nearest, 1)

    def _best(self) -> Found:
        found = []
        for kind in (self._index.is_paper, ~self._index.is_paper):
            numbers = np.flatnonzero(kind)
            if len(numbers) > _CANDIDATES:
                numbers = numbers[np.argpartition(-self.strength[numbers], _CANDIDATES)[:_CANDIDATES]]
            found.append(numbers)
        return np.sort(np.concatenate(found))

    def _of_categories(self, profile: Profile) -> Reals:
        worth = np.zeros(len(self._index.articles), dtype=np.float32)
        for category in profile.categories:
            for numbers, weight in self._index.sections.get(category, ()):
                worth[numbers] = np.maximum(worth[numbers], weight)
        return worth


def alike_each(index: Index, articles: Sequence[int]) -> Reals:
    """Return how alike each two of a few articles are, as cosines."""
    numbers = np.array(articles, dtype=np.intp)
    common, rare = index.common[numbers], index.rare.of(numbers)
    alike: Reals = common @ common.T
    _add_pairs(alike, rare, rare)
    return alike


def _texts(wish: InterestQuery) -> Papers:
    """The reader's own texts as papers that are liked less."""
    terms = [phrase.terms() for phrase in wish.whole]
    sizes = np.array([len(each) for each in terms], dtype=np.intp)
    joined: Terms = np.concatenate([np.empty(0, np.uint32), *terms])
    return Papers(
        titles=tuple(phrase.text for phrase in wish.whole),
        weights=np.full(len(terms), _INTEREST, dtype=np.float32),
        owner=np.repeat(np.arange(len(terms), dtype=np.int32), sizes),
        terms=joined,
        counts=np.ones(len(joined), dtype=np.uint8),
    )
