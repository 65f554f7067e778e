"""Sparse vectors in numpy: weighted terms by article, and their products."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.ranking.counts import Numbers, Reals
from app.ranking.positions import stable_order

EntriesOf = tuple[Numbers, Numbers, Reals]
"""For each entry: its owner, its term and its weight."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Weighted terms by article: those of article n are at `starts[n]` to `starts[n + 1]`."""

    starts: Numbers
    terms: Numbers
    weights: Reals

    def of(self, articles: npt.NDArray[np.intp]) -> tuple[Numbers, Numbers, Reals]:
        """Return the entries of these articles: the index in `articles`, the term and the weight of each."""
        starts = self.starts[articles]
        sizes = self.starts[articles + 1] - starts
        ends = np.cumsum(sizes)
        row = np.repeat(np.arange(len(articles), dtype=np.int32), sizes)
        entries = np.arange(len(row)) + np.repeat(starts - ends + sizes, sizes)
        return row, self.terms[entries], self.weights[entries]


def sums(starts: Numbers, values: npt.NDArray[np.floating]) -> Reals:
    """Sum the values of each run. Runs begin at `starts`, whose last element is the end."""
    if not len(values):
        return np.zeros(len(starts) - 1, dtype=np.float32)
    sums = np.add.reduceat(values, np.minimum(starts[:-1], len(values) - 1))
    # reduceat returns for an empty run the element at its start.
    return np.where(np.diff(starts) > 0, sums, 0).astype(np.float32)


def add_pairs(similar: Reals, articles: EntriesOf, texts: EntriesOf) -> None:
    """Add the products of each entry of an article with all entries of texts for the same term to `similar`."""
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
