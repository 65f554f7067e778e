"""How well each article of a window fits a reader, on a scale that is the same for every day and every reader.

Words count by BM25, divided by what an article could reach that meets the reader's longest text whole; taste by the
cosine to the centroid of what is liked (Rocchio 1971) and to its nearest papers. Both are mixed by how much taste there
is. Measured on labelled readers with `make bench-ranking`; docs/PERFORMANCE.md has the figures.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.models import Profile
from app.ranking.counts import Numbers, Reals, Terms
from app.ranking.index import Index
from app.ranking.taste import Papers, Taste
from app.ranking.wish import Wish

_TITLE: Final = 0.25
# Brings BM25 to the range of the cosines.
_WORDS_SCALE: Final = 0.125
# So many liked papers count as much as the words do.
_EVEN: Final = 5.0
# An interest is a text that the reader likes, and says less than a paper does.
_INTEREST: Final = 0.5
_CENTROID: Final = 0.25
_NEAREST: Final = 3
_CANDIDATES: Final = 250
"""Of each kind so many, the best by all else, are compared with each liked paper."""
_DISLIKED: Final = 0.5
# A category alone says less than a weak match of words, and makes a strong match stronger.
_CATEGORY_FACTOR: Final = 0.25
_CATEGORY_ALONE: Final = 0.01

Found = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Vectors:
    """Texts as tf-idf vectors of length 1 over a window's terms, one behind the other, each with its weight."""

    titles: tuple[str, ...]
    weights: Reals
    owner: Numbers
    numbers: Numbers
    values: Reals

    @classmethod
    def of(cls, index: Index, papers: Papers) -> "Vectors":
        """Weigh papers by the window's document frequencies; terms that it lacks count for the length alone."""
        values = (1 + np.log(papers.counts, dtype=np.float32)) * index.rarities(papers.terms)[1]
        lengths = np.sqrt(np.bincount(papers.owner, values * values, len(papers)))
        numbers, known = index.find(papers.terms)
        values = values / np.maximum(lengths, 1e-9)[papers.owner]
        return cls(papers.titles, papers.weights, papers.owner[known], numbers[known], values[known].astype(np.float32))

    def centroid(self, terms: int) -> Reals:
        """Return the direction of their weighted sum."""
        total = np.bincount(self.numbers, self.values * self.weights[self.owner], terms)
        return (total / max(float(np.linalg.norm(total)), 1e-9)).astype(np.float32)

    def similarities(self, index: Index, articles: Found) -> Reals:
        """Return the weighted cosine of each of these articles, in ascending order, to each text."""
        chosen = np.zeros(len(index.articles), dtype=np.bool_)
        chosen[articles] = True
        sizes = np.diff(index.rows.starts)
        entries = np.flatnonzero(np.repeat(chosen, sizes))
        row = np.repeat(np.arange(len(articles)), sizes[articles])
        order = np.argsort(self.numbers, kind="stable")
        having = np.bincount(self.numbers, minlength=len(index.terms))
        first = np.cumsum(having) - having
        terms = index.rows.terms[entries]
        times = having[terms]
        # Each entry of an article meets all texts that have its term: `left` and `right` are the pairs.
        left = np.repeat(np.arange(len(entries)), times)
        right = order[np.arange(len(left)) - np.repeat(np.cumsum(times) - times - first[terms], times)]
        texts = len(self.titles)
        products = index.weights[entries][left] * (self.values * self.weights[self.owner])[right]
        found = np.bincount(row[left] * texts + self.owner[right], products, len(articles) * texts)
        return found.reshape(len(articles), texts).astype(np.float32)


class Scores:
    """A reader's scores over a window: `strength` for all articles, `similar` to each liked text for the `candidates`."""

    def __init__(self, index: Index, profile: Profile, wish: Wish, taste: Taste) -> None:
        self._index = index
        self.candidates: Found = np.empty(0, dtype=np.intp)
        self.words = self._of_words(wish)
        self.strength = self.words
        self.liked = Vectors.of(index, taste.liked)
        self.similar: Reals = np.empty((0, len(self.liked.titles)), dtype=np.float32)
        if len(index.articles):
            self._add_taste(wish, taste)
            worth = self._of_categories(profile)
            self.strength = self.strength * (1 + _CATEGORY_FACTOR * worth) + _CATEGORY_ALONE * worth

    def _of_words(self, wish: Wish) -> Reals:
        squares = (wish.weights * self._index.rarities(wish.terms)[0]) ** 2
        by_stem = dict(zip(wish.stems, squares.tolist(), strict=True))
        whole = max((sum(by_stem[stem] for stem in set(phrase.stems)) for phrase in wish.whole), default=1.0)
        return self._index.bm25(wish.terms, wish.weights, _TITLE) * np.float32(_WORDS_SCALE / whole**0.5)

    def _add_taste(self, wish: Wish, taste: Taste) -> None:
        likes = float(taste.liked.weights.sum())
        share = _EVEN / (_EVEN + likes)
        asked = Vectors.of(self._index, _texts(wish))
        if likes:
            self.strength = share * self.words + (1 - share) * _CENTROID * self._centre(asked)
        if not likes and not len(taste.disliked):
            return
        self.candidates = self._best()
        if likes:
            self.similar = self.liked.similarities(self._index, self.candidates)
            near = np.hstack([self.similar, asked.similarities(self._index, self.candidates)])
            best = np.partition(near, -min(_NEAREST, near.shape[1]), axis=1)[:, -_NEAREST:].mean(axis=1)
            self.strength[self.candidates] += (1 - share) * (1 - _CENTROID) * best
        if len(taste.disliked):
            disliked = Vectors.of(self._index, taste.disliked).similarities(self._index, self.candidates)
            self.strength = self.strength.copy()
            self.strength[self.candidates] *= 1 - _DISLIKED * np.minimum(disliked.max(axis=1), 1)

    def _centre(self, asked: Vectors) -> Reals:
        terms = len(self._index.terms)
        total = sum(
            np.bincount(each.numbers, each.values * each.weights[each.owner], terms) for each in (self.liked, asked)
        )
        return self._index.cosines((total / max(float(np.linalg.norm(total)), 1e-9)).astype(np.float32))

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


def _texts(wish: Wish) -> Papers:
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
