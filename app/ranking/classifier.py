"""Logistic regression that tells what a reader likes from what the window has besides.

It is trained on similarities alone (the dual of a linear model on tf-idf vectors): on liked texts, disliked ones, and a
sample of the window that stands for all that nobody chose. So its cost does not grow with the window.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.ranking.counts import Reals

# The sum of the weights of each side, against a penalty of half the squared length of the model.
_STRENGTH: Final = 65.0
_STEPS: Final = 3
_LEAST: Final = 1e-4
_FARTHEST: Final = 30.0


@dataclass(frozen=True, slots=True)
class Model:
    """What each training text adds to an article's log-odds for each bit of similarity, and what is added to all."""

    factors: Reals
    intercept: float


def train(similar: Reals, wanted: Reals, unwanted: Reals) -> Model:
    """Fit to texts that are alike as `similar` says, each weighing as wanted or as unwanted; each side weighs the same.

    Iteratively reweighted least squares; a few steps suffice, for the penalty keeps the problem round.
    """
    label = wanted > 0
    weights = _STRENGTH * (wanted / max(float(wanted.sum()), 1e-9) + unwanted / max(float(unwanted.sum()), 1e-9))
    return _fitted(similar, label.astype(np.float32), np.maximum(weights, _LEAST).astype(np.float32))


def _fitted(alike: Reals, label: Reals, weights: Reals) -> Model:
    count = len(label)
    factors, intercept = np.zeros(count, dtype=np.float32), 0.0
    ones = np.ones(count, dtype=np.float32)
    for _ in range(_STEPS):
        odds: Reals = np.clip(alike @ factors + np.float32(intercept), -_FARTHEST, _FARTHEST)
        chance = 1 / (1 + np.exp(-odds))
        curvature = np.maximum(weights * chance * (1 - chance), _LEAST)
        aim = odds - weights * (chance - label) / curvature
        system = alike + np.diag(1 / curvature)
        solved = np.linalg.solve(system, np.column_stack([aim, ones]))
        intercept = float(solved[:, 0].sum() / solved[:, 1].sum())
        factors = solved[:, 0] - np.float32(intercept) * solved[:, 1]
    return Model(factors, intercept)
