"""Logistic regression that separates what a reader likes from the rest of the window.

It is trained only on similarities (the dual of a linear model on tf-idf vectors) of liked texts, disliked texts, and a
sample of the window, which represents the articles without feedback. So its cost does not grow with the window.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.ranking.counts import Reals

# The sum of the weights of each class, relative to a penalty of half the squared norm of the model.
_STRENGTH: Final = 65.0
_STEPS: Final = 3
_LEAST: Final = 1e-4
_FARTHEST: Final = 30.0


@dataclass(frozen=True, slots=True)
class Model:
    """An article's log-odds: the sum of its similarity to each training text times the text's factor; `intercept`."""

    factors: Reals
    intercept: float


def train(similar: Reals, wanted: Reals, unwanted: Reals) -> Model:
    """Fit a model to texts with these pairwise similarities and weights. Both classes get the same total weight.

    Iteratively reweighted least squares. A few steps suffice, because the penalty keeps the problem well-conditioned.
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
