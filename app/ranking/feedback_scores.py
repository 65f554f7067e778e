"""Scores articles by a reader's feedback: by the centroid of liked papers, the nearest ones, and a classifier."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.ranking.classifier import train
from app.ranking.counts import Reals
from app.ranking.index import Index, common_similarity
from app.ranking.text_vectors import Found, Vectors, concatenated

_NEAREST: Final = 3
MOST_COMPARED: Final = 60
"""Only so many papers, those rated last, are compared one by one. The centroid uses all."""
_CANDIDATES: Final = 120
"""So many articles of each kind, the best by the classifier, are compared with each paper."""
_UNWANTED: Final = 1.0
"""The weight of a disliked paper. The whole sample of articles without feedback has the weight 5."""
_MOST_LIKE: Final = 30
"""So many articles, the most similar to the centroid, are not used as examples of unwanted articles."""
# The similarity that all papers share is subtracted. These are its usual values.
_USUAL_CENTRE: Final = (0.096, 0.044)
_USUAL_NEAREST: Final = (0.039, 0.038)
_USUAL_ODDS: Final = (-1.27, 0.29)
"""Each: a constant, and a factor of the logarithm of the weight of liked papers."""


# With fewer articles the classifier is unreliable; its odds are then estimated from the centroid.
_TOO_FEW: Final = 50
_ENOUGH: Final = 300
_BY_CENTRE: Final = 3.4


@dataclass(frozen=True, slots=True)
class FeedbackScores:
    """The similarity of each article to what the reader liked, above the similarity that all papers share.

    `centre` and `odds` are computed for all articles. `nearest` is computed for `candidates`; the others get the
    lowest value of these. `similar` has the cosine of each candidate to each of the papers liked last. `centre`
    represents older papers, which are compared only together: it is multiplied by their share of the liked papers.
    """

    centre: Reals
    nearest: Reals
    odds: Reals
    direction: Reals
    candidates: Found
    similar: Reals

    @classmethod
    def of(cls, index: Index, liked: Vectors, disliked: Vectors, texts: Vectors) -> "FeedbackScores":
        """Compare a window with liked and disliked papers and the texts of the profile, each sorted newest first."""
        known = concatenated(liked, texts)
        centre = index.cosines(known.centroid(len(index.terms)))
        young = liked.first(MOST_COMPARED)
        compared = concatenated(young, texts)
        sample = compared.similarities(index, index.sample)
        log_likes = math.log1p(float(young.weights.sum()))
        direction, odds = _odds(index, compared, disliked.first(MOST_COMPARED), sample, centre)
        candidates = best_of_each_kind(index, odds)
        near = compared.similarities(index, candidates)
        usual = common_similarity(_mean_of_best(sample * compared.weights), len(centre), _by(log_likes, _USUAL_NEAREST))
        best = _mean_of_best(near * compared.weights) - usual
        nearest = np.full(len(centre), best.min(initial=0), dtype=np.float32)
        nearest[candidates] = best
        centre -= common_similarity(centre, len(centre), _by(log_likes, _USUAL_CENTRE))
        trust = float(np.clip((len(centre) - _TOO_FEW) / (_ENOUGH - _TOO_FEW), 0, 1))
        usual_odds = _by(log_likes, _USUAL_ODDS) + _BY_CENTRE * centre
        odds = (trust * odds + (1 - trust) * usual_odds).astype(np.float32)
        older = np.float32(1 - young.weights.sum() / liked.weights.sum())
        return cls(older * centre, nearest, odds, direction, candidates, near[:, : len(young)])


def _odds(index: Index, wanted: Vectors, unwanted: Vectors, similar: Reals, centre: Reals) -> tuple[Reals, Reals]:
    """Train a classifier: wanted texts against unwanted ones and the sample. Return its direction and log-odds."""
    edge = np.partition(centre, -_MOST_LIKE - 1)[-_MOST_LIKE - 1] if len(centre) > _MOST_LIKE else np.inf
    # If fewer articles have anything in common with the reader, the edge is 0, and the others stay.
    kept = np.flatnonzero(centre[index.sample] <= edge)
    texts = concatenated(wanted, unwanted)
    if len(unwanted):
        similar = np.hstack([similar, unwanted.similarities(index, index.sample)])
    count = len(texts)
    alike = np.empty((count + len(kept), count + len(kept)), dtype=np.float32)
    alike[:count, :count] = texts.pairwise_cosines(len(index.terms))
    alike[count:, :count] = similar[kept]
    alike[:count, count:] = alike[count:, :count].T
    alike[count:, count:] = index.sample_cosines[np.ix_(kept, kept)]
    model = train(
        alike,
        np.concatenate([wanted.weights, np.zeros(len(unwanted) + len(kept), np.float32)]),
        np.concatenate([np.zeros(len(wanted), np.float32), _UNWANTED * unwanted.weights, _shares(len(kept))]),
    )
    direction = texts.total(model.factors[:count], len(index.terms))
    direction += index.total(index.sample[kept], model.factors[count:])
    return direction, index.cosines(direction) + np.float32(model.intercept)


def _by(log_likes: float, usual: tuple[float, float]) -> float:
    return usual[0] + usual[1] * log_likes


def _shares(count: int) -> Reals:
    """Return the weights of the window's sample, which together equal five disliked papers."""
    return np.full(count, 5 / max(count, 1), dtype=np.float32)


def _mean_of_best(similar: Reals) -> Reals:
    count = min(_NEAREST, similar.shape[1])
    best: Reals = np.partition(similar, -count, axis=1)[:, -count:].sum(axis=1) / max(count, 1)
    return best


def best_of_each_kind(index: Index, worth: Reals) -> Found:
    """Return the numbers of the best papers and the best news, ascending."""
    found: list[npt.NDArray[np.intp]] = []
    for kind in (index.is_paper, ~index.is_paper):
        numbers = np.flatnonzero(kind)
        if len(numbers) > _CANDIDATES:
            numbers = numbers[np.argpartition(-worth[numbers], _CANDIDATES)[:_CANDIDATES]]
        found.append(numbers)
    return np.sort(np.concatenate(found))
