"""The baselines of the ranking: bm25s, and simple learners on tf-idf: centroid, nearest papers, logistic regression."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import bm25s
import numpy as np
import numpy.typing as npt
import Stemmer

from benchmarks.ranking_readers import Labelled, Paper, Ranker, Reader, Scores

Wide = npt.NDArray[np.float64]
_WORD = re.compile(r"\w\w+")
_NEAREST: Final = 3
_STEPS, _MOST_TURNS, _CLOSE = 8, 60, 1e-4


def bm25(labelled: Labelled) -> Ranker:
    """bm25s with its stop words and Snowball's stems, over title and abstract; it ignores liked papers."""
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25()
    texts = [_text(document) for document in labelled.documents]
    index.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)

    def scores(reader: Reader, _liked: Sequence[Paper]) -> Scores:
        asked = " ".join([*reader.interests, reader.goals])
        tokens = bm25s.tokenize([asked], stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)
        return np.asarray(index.get_scores(tokens[0]), dtype=np.float64)

    return scores


class TfIdf:
    """The documents of a set as tf-idf vectors of length 1, and their similarities."""

    def __init__(self, labelled: Labelled) -> None:
        self._stem = Stemmer.Stemmer("english").stemWord
        counts = [self._count(_text(document)) for document in labelled.documents]
        self._columns = {
            stem: column for column, stem in enumerate(sorted({stem for count in counts for stem in count}))
        }
        frequency = Counter(stem for count in counts for stem in count)
        total = len(counts)
        self._rarity = {stem: np.log((1 + total) / (1 + number)) + 1 for stem, number in frequency.items()}
        self.documents = np.stack([self._vector(count) for count in counts])
        self.alike: Wide = (self.documents @ self.documents.T).astype(np.float64)

    def vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return texts as vectors."""
        return np.stack([self._vector(self._count(text)) for text in texts])

    def _count(self, text: str) -> Counter[str]:
        return Counter(self._stem(word) for word in _WORD.findall(text.lower()) if word not in _STOPPED)

    def _vector(self, counts: Counter[str]) -> npt.NDArray[np.float32]:
        vector = np.zeros(len(self._columns), dtype=np.float32)
        for stem, count in counts.items():
            if stem in self._columns:
                vector[self._columns[stem]] = (1 + np.log(count)) * self._rarity[stem]
        length = float(np.linalg.norm(vector))
        return vector / np.float32(length or 1)


_STOPPED: Final = frozenset(bm25s.stopwords.STOPWORDS_EN)


def learners(labelled: Labelled) -> dict[str, Ranker]:
    """The simple learners; each also uses the interests as liked papers."""
    space = TfIdf(labelled)

    def examples(reader: Reader, liked: Sequence[Paper]) -> npt.NDArray[np.float32]:
        return space.vectors([*map(_text, liked), *reader.interests])

    def centroid(reader: Reader, liked: Sequence[Paper]) -> Scores:
        return np.asarray(space.documents @ examples(reader, liked).sum(axis=0), dtype=np.float64)

    def nearest(reader: Reader, liked: Sequence[Paper]) -> Scores:
        similar = space.documents @ examples(reader, liked).T
        return np.asarray(np.sort(similar, axis=1)[:, -_NEAREST:].mean(axis=1), dtype=np.float64)

    def regression(reader: Reader, liked: Sequence[Paper]) -> Scores:
        wanted = examples(reader, liked)
        similar = (space.documents @ wanted.T).astype(np.float64)
        alike = np.block([[(wanted @ wanted.T).astype(np.float64), similar.T], [similar, space.alike]])
        return _odds(alike, len(wanted))[len(wanted) :]

    return {"centroid": centroid, "nearest": nearest, "logistic regression": regression}


def _odds(alike: Wide, wanted: int) -> Wide:
    """Logistic regression, as scikit-learn's with balanced weights and C = 1; all other documents are unwanted."""
    count = len(alike)
    label = np.arange(count) < wanted
    weights = np.where(label, count / (2 * wanted), count / (2 * (count - wanted)))
    factors, intercept = np.zeros(count), 0.0
    for _ in range(_STEPS):
        odds = alike @ factors + intercept
        chance = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
        curvature = np.maximum(weights * chance * (1 - chance), 1e-6)
        aim = odds - weights * (chance - label) / curvature
        first, second = (_solved(alike, 1 / curvature, right) for right in (aim, np.ones(count)))
        intercept = float(first.sum() / second.sum())
        factors = first - intercept * second
    return np.asarray(alike @ factors + intercept, dtype=np.float64)


def _solved(alike: Wide, diagonal: Wide, right: Wide) -> Wide:
    """Solve (alike + diagonal) x = right by conjugate gradients, preconditioned by the diagonal."""
    scale = 1 / (diagonal + alike.diagonal())
    found, rest = np.zeros(len(right)), right.copy()
    step = scale * rest
    size = float(rest @ step)
    end = size * _CLOSE**2
    for _ in range(_MOST_TURNS):
        image = alike @ step + diagonal * step
        length = size / float(step @ image)
        found += length * step
        rest -= length * image
        better = scale * rest
        size, before = float(rest @ better), size
        if size <= end:
            break
        step = better + size / before * step
    return found


def _text(paper: Any) -> str:
    return f"{paper.title} {paper.abstract or ''}"
