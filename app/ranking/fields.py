"""A field of a window's articles (the whole text, the title) with BM25's weights, by term."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from app.ranking.counts import Numbers, Reals, Rows
from app.ranking.positions import stable_order

# Lucene's BM25. Abstracts have similar lengths, so their length says less than that of web pages.
_K1: Final = 1.2
_B: Final = 0.5
# A day with fewer articles is treated as one with so many: a few articles do not show which words are rare.
FEWEST: Final = 300


def rarity(articles: int, frequency: npt.NDArray[np.number]) -> Reals:
    """Return BM25's idf of a term that `frequency` of these articles contain."""
    count = max(articles, FEWEST)
    found: Reals = np.log1p((count - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
    return found


@dataclass(frozen=True, slots=True)
class Field:
    """BM25 without the idf of the terms. The articles of term n are at `starts[n]` to `starts[n + 1]`.

    `norms` is the length normalisation of each article, which is added to a count in the denominator.
    """

    starts: Numbers
    articles: Numbers
    weights: Reals
    norms: Reals

    @classmethod
    def of(cls, rows: Rows, terms: int) -> Self:
        """Weigh counts by article for the terms from 0 to `terms`."""
        owner = np.repeat(np.arange(len(rows.starts) - 1, dtype=np.int32), np.diff(rows.starts))
        lengths = np.bincount(owner, rows.counts, len(rows.starts) - 1)
        shares = lengths / max(float(lengths.mean()), 1.0) if len(lengths) else lengths
        norms = (_K1 * (1 - _B + _B * shares)).astype(np.float32)
        weights = rows.counts / (rows.counts + norms[owner])
        order = stable_order(rows.terms)
        starts = np.zeros(terms + 1, dtype=np.int32)
        np.cumsum(np.bincount(rows.terms, minlength=terms), out=starts[1:])
        return cls(starts, owner[order], weights[order].astype(np.float32), norms)

    def frequency(self) -> Numbers:
        """Return the number of articles that contain each term."""
        return np.diff(self.starts)

    def of_term(self, number: int) -> tuple[Numbers, Reals]:
        """Return the articles that contain a term, and its weight in each."""
        part = slice(self.starts[number], self.starts[number + 1])
        return self.articles[part], self.weights[part]

    def counted(self, owners: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], Reals]:
        """Weigh occurrences, given by the article of each: return the articles, and the weight in each."""
        articles, counts = np.unique(owners, return_counts=True)
        return articles, (counts / (counts + self.norms[articles])).astype(np.float32)
