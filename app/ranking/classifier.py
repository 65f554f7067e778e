"""A linear classifier that separates what a reader likes from the rest of the window.

It is trained only on similarities (the dual of a linear model on tf-idf vectors) of liked texts, disliked texts, and a
sample of the window, which represents the articles without feedback. So its cost does not grow with the window.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.ranking.counts import Reals

# The sum of the weights of each class, relative to a penalty of the squared norm of the model.
_STRENGTH: Final = 10.0
# The first step of Newton's method towards a logistic regression aims at these log-odds. More steps were no better.
_AIM: Final = 2.0
_LEAST: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Model:
    """An article's log-odds: the sum of its similarity to each training text times the text's factor; `intercept`."""

    factors: Reals
    intercept: float


def train(similar: Reals, wanted: Reals, unwanted: Reals) -> Model:
    """Fit a model to texts with these pairwise similarities and weights. Both classes get the same total weight.

    Ridge regression on +2 for wanted and -2 for unwanted texts, with an intercept that is not penalised.
    """
    weights = _STRENGTH * (wanted / max(float(wanted.sum()), 1e-9) + unwanted / max(float(unwanted.sum()), 1e-9))
    system = similar + np.diag(1 / np.maximum(weights, _LEAST)).astype(np.float32)
    aim = np.where(wanted > 0, _AIM, -_AIM).astype(np.float32)
    # Singles already: numpy's types say so only up to 2.4.
    solved = np.linalg.solve(system, np.column_stack([aim, np.ones_like(aim)])).astype(np.float32, copy=False)
    intercept = float(solved[:, 0].sum() / solved[:, 1].sum())
    return Model(solved[:, 0] - np.float32(intercept) * solved[:, 1], intercept)
