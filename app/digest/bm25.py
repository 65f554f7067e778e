"""How well each text matches each word of a query: BM25, by bm25s. Only the worker imports this: it needs numpy."""

import logging
from collections.abc import Sequence

import bm25s
import numpy as np
import numpy.typing as npt

# bm25s sets its logger to DEBUG when it is imported.
logging.getLogger("bm25s").setLevel(logging.WARNING)

Scores = npt.NDArray[np.float32]


class TermScores:
    """BM25 of every text for every term: Lucene's variant, with bm25s's defaults k1 = 1.5 and b = 0.75."""

    def __init__(self, terms: Sequence[str], texts: Sequence[Sequence[int]]) -> None:
        """Index texts whose words are numbers: n + 1 for the n-th term, and 0 for any word that is no term.

        Words that nobody asks for count only for a text's length, so giving them one number changes no score, and
        makes the index several times cheaper than one over all words.
        """
        self._row = {term: number for number, term in enumerate(terms)}
        self._scores: Scores = np.zeros((len(terms), len(texts)), dtype=np.float32)
        if not terms or not any(texts):
            return
        index = bm25s.BM25()
        numbers = {"": 0} | {term: row + 1 for term, row in self._row.items()}
        index.index(([list(text) for text in texts], numbers), show_progress=False)
        for row in self._row.values():
            self._scores[row] = index.get_scores_from_ids([row + 1])

    def total(self, terms: Sequence[str]) -> Scores:
        """Return for each text the sum over these terms."""
        total: Scores = self._of(terms).sum(axis=0, dtype=np.float32)
        return total

    def covered(self, terms: Sequence[str]) -> Scores:
        """Return for each text which part of these terms it contains, from 0 to 1; none of them are 0."""
        found: Scores = (self._of(terms) > 0).sum(axis=0, dtype=np.float32) / max(len(terms), 1)
        return found

    def _of(self, terms: Sequence[str]) -> Scores:
        return self._scores[[self._row[term] for term in terms]]
