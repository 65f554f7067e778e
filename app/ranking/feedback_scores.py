"""How well articles fit what a reader liked: by its centroid, its nearest papers, and a classifier."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.ranking.classifier import train
from app.ranking.counts import Reals
from app.ranking.index import Index, shared
from app.ranking.text_vectors import Found, Vectors, both

_NEAREST: Final = 3
MOST_COMPARED: Final = 60
"""So many papers, the youngest, are compared one by one; the centroid is of all."""
_CANDIDATES: Final = 120
"""Of each kind so many, the best by the classifier, are compared with each paper."""
_UNWANTED: Final = 1.0
"""What a disliked paper weighs, where all that nobody chose weighs 5."""
_MOST_LIKE: Final = 30
"""So many articles, the most like the centroid, are no examples of what the reader does not want."""
# What everybody's papers share is taken from a similarity; this is usual, by nothing and by how much is liked.
_USUAL_CENTRE: Final = (0.096, 0.044)
_USUAL_NEAREST: Final = (0.039, 0.038)
_USUAL_ODDS: Final = (-1.27, 0.29)
"""Each by nothing, and by the logarithm of how much is liked."""


# So few articles teach a classifier nothing; then its odds are estimated from the centroid, as in a usual window.
_TOO_FEW: Final = 50
_ENOUGH: Final = 300
_BY_CENTRE: Final = 3.4


@dataclass(frozen=True, slots=True)
class FeedbackScores:
    """What each article has of what the reader liked, beyond what everybody's papers share.

    `centre` and `odds` are of all articles; `nearest` is that of the least like them but for `candidates`, of which
    `similar` has the cosine to each of the youngest liked papers. `centre` counts for the older ones, which are
    compared only as a whole: it is multiplied by their share.
    """

    centre: Reals
    nearest: Reals
    odds: Reals
    direction: Reals
    candidates: Found
    similar: Reals

    @classmethod
    def of(cls, index: Index, liked: Vectors, disliked: Vectors, texts: Vectors) -> "FeedbackScores":
        """Compare a window with what is liked, disliked, and with the reader's own texts: youngest first."""
        known = both(liked, texts)
        centre = index.cosines(known.centroid(len(index.terms)))
        young = liked.first(MOST_COMPARED)
        compared = both(young, texts)
        sample = compared.similarities(index, index.sample)
        known_well = math.log1p(float(young.weights.sum()))
        direction, odds = _odds(index, compared, disliked.first(MOST_COMPARED), sample, centre)
        candidates = best_of_each_kind(index, odds)
        near = compared.similarities(index, candidates)
        usual = shared(_mean_of_best(sample * compared.weights), len(centre), _by(known_well, _USUAL_NEAREST))
        best = _mean_of_best(near * compared.weights) - usual
        nearest = np.full(len(centre), best.min(initial=0), dtype=np.float32)
        nearest[candidates] = best
        centre -= shared(centre, len(centre), _by(known_well, _USUAL_CENTRE))
        trust = float(np.clip((len(centre) - _TOO_FEW) / (_ENOUGH - _TOO_FEW), 0, 1))
        usual_odds = _by(known_well, _USUAL_ODDS) + _BY_CENTRE * centre
        odds = (trust * odds + (1 - trust) * usual_odds).astype(np.float32)
        older = np.float32(1 - young.weights.sum() / liked.weights.sum())
        return cls(older * centre, nearest, odds, direction, candidates, near[:, : len(young)])


def _odds(index: Index, wanted: Vectors, unwanted: Vectors, similar: Reals, centre: Reals) -> tuple[Reals, Reals]:
    """The direction and the log-odds of a classifier of what is wanted, beside what is not and the window's sample."""
    edge = np.partition(centre, -_MOST_LIKE - 1)[-_MOST_LIKE - 1] if len(centre) > _MOST_LIKE else np.inf
    # Where fewer articles have anything in common with the reader, the edge is 0, and the others stay.
    kept = np.flatnonzero(centre[index.sample] <= edge)
    texts = both(wanted, unwanted)
    if len(unwanted):
        similar = np.hstack([similar, unwanted.similarities(index, index.sample)])
    count = len(texts)
    alike = np.empty((count + len(kept), count + len(kept)), dtype=np.float32)
    alike[:count, :count] = texts.alike_each(len(index.terms))
    alike[count:, :count] = similar[kept]
    alike[:count, count:] = alike[count:, :count].T
    alike[count:, count:] = index.sample_alike[np.ix_(kept, kept)]
    model = train(
        alike,
        np.concatenate([wanted.weights, np.zeros(len(unwanted) + len(kept), np.float32)]),
        np.concatenate([np.zeros(len(wanted), np.float32), _UNWANTED * unwanted.weights, _shares(len(kept))]),
    )
    direction = texts.total(model.factors[:count], len(index.terms))
    direction += index.total(index.sample[kept], model.factors[count:])
    return direction, index.cosines(direction) + np.float32(model.intercept)


def _by(known_well: float, usual: tuple[float, float]) -> float:
    return usual[0] + usual[1] * known_well


def _shares(count: int) -> Reals:
    """The window's sample weighs as much as five disliked papers."""
    return np.full(count, 5 / max(count, 1), dtype=np.float32)


def _mean_of_best(similar: Reals) -> Reals:
    count = min(_NEAREST, similar.shape[1])
    best: Reals = np.partition(similar, -count, axis=1)[:, -count:].sum(axis=1) / max(count, 1)
    return best


def best_of_each_kind(index: Index, worth: Reals) -> Found:
    """Return the numbers of the best papers and of the best news, ascending."""
    found: list[npt.NDArray[np.intp]] = []
    for kind in (index.is_paper, ~index.is_paper):
        numbers = np.flatnonzero(kind)
        if len(numbers) > _CANDIDATES:
            numbers = numbers[np.argpartition(-worth[numbers], _CANDIDATES)[:_CANDIDATES]]
        found.append(numbers)
    return np.sort(np.concatenate(found))
