"""Texts as tf-idf vectors in the terms of a window, and their similarities to its articles."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.ranking.counts import Numbers, Reals
from app.ranking.feedback_model import Papers
from app.ranking.index import Index
from app.ranking.sparse import add_pairs

# The weight of a word by its count in the text. Counts are bytes of at least 1.
_COUNTED = 1 + np.log(np.arange(256).clip(1), dtype=np.float32)

Found = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Vectors:
    """Concatenated tf-idf vectors of length 1 over the terms of a window, each with the weight of its text."""

    weights: Reals
    owner: Numbers
    numbers: Numbers
    values: Reals

    @classmethod
    def of(cls, index: Index, papers: Papers) -> "Vectors":
        """Weigh papers by the window's document frequencies. Terms that it lacks affect only the length."""
        numbers, known = index.find(papers.terms)
        values = _COUNTED[papers.counts] * index.weigh(numbers, known)
        lengths = np.sqrt(np.bincount(papers.owner, values * values, len(papers)))
        values /= np.maximum(lengths, 1e-9)[papers.owner]
        return cls(papers.weights, papers.owner[known], numbers[known], values[known].astype(np.float32))

    def __len__(self) -> int:
        return len(self.weights)

    def first(self, count: int) -> "Vectors":
        """Return the first `count` texts."""
        part = slice(int(np.searchsorted(self.owner, count)))
        return Vectors(self.weights[:count], self.owner[part], self.numbers[part], self.values[part])

    def centroid(self, terms: int) -> Reals:
        """Return their weighted sum, scaled to length 1, over all `terms` terms."""
        total = self.total(self.weights, terms)
        return total / np.float32(max(float(np.sqrt((total * total).sum())), 1e-9))

    def total(self, factors: Reals, terms: int) -> Reals:
        """Return their sum, each times its factor, over all `terms` terms."""
        return np.bincount(self.numbers, self.values * factors[self.owner], terms).astype(np.float32)

    def similarities(self, index: Index, articles: Found) -> Reals:
        """Return the cosine of each of these articles to each text."""
        columns = index.columns[self.numbers]
        common, rare = columns >= 0, columns < 0
        texts = np.zeros((len(self), index.common.shape[1]), dtype=np.float32)
        texts[self.owner[common], columns[common]] = self.values[common]
        similar: Reals = index.common[articles] @ texts.T
        add_pairs(similar, index.rare.of(articles), (self.owner[rare], self.numbers[rare], self.values[rare]))
        return similar

    def pairwise_cosines(self, terms: int) -> Reals:
        """Return the cosine of each pair of texts, over the terms of the window, which has so many `terms`."""
        known = np.zeros(terms, dtype=np.bool_)
        known[self.numbers] = True
        # Faster than sorting the numbers.
        columns = np.cumsum(known, dtype=np.int32) - 1
        dense = np.zeros((len(self), int(columns[-1]) + 1 if terms else 0), dtype=np.float32)
        dense[self.owner, columns[self.numbers]] = self.values
        alike: Reals = dense @ dense.T
        return alike


def concatenated(one: Vectors, other: Vectors) -> Vectors:
    """Concatenate two."""
    return Vectors(
        np.concatenate([one.weights, other.weights]),
        np.concatenate([one.owner, other.owner + np.int32(len(one))]),
        np.concatenate([one.numbers, other.numbers]),
        np.concatenate([one.values, other.values]),
    )
