"""One scale for all readers and days: how much more likely than others of its window an article is to be wanted.

A score of 0.5 is that of an article like any other; one of 0.9 has nine times its odds. The constants are fitted by
logistic regression on readers whose wishes are known, for each number of liked papers; docs/PERFORMANCE.md says how
many of the articles with a score were wanted.
"""

import math
from typing import Final

import numpy as np

from app.ranking.counts import Reals
from app.ranking.feedback_scores import FeedbackScores

THRESHOLD: Final = 0.55
"""What is below is not sent: it is hardly more likely to be wanted than anything else."""

_USUAL: Final = -4.12
"""The log-odds of an article of which nothing is known."""
_MOST: Final = 12.0
"""The log-odds that are nearly reached and never passed."""
_WORDS_SLOPE: Final = 3.2
_WORDS_ALONE: Final = -5.26
_SURE: Final = 0.75
"""Where words are all that is known, what has no interest in full is wanted half as often, up to this score."""

# What each part counts, by its usual spread, where there is feedback.
_EVEN: Final = 0.6
_WORDS: Final = 7.0
_CENTRE: Final = 40.0
_NEAREST: Final = 90.0
_ODDS: Final = 20.0
# More liked papers make the parts larger and surer: so far as more of them were measured.
_MOST_LIKES: Final = 30.0
_SLOPE: Final = 0.19
_SLOPE_OF_FEW: Final = 0.12
_BASE: Final = 0.6
_BASE_BY_LIKES: Final = -1.09


def chances(words: Reals, feedback: FeedbackScores | None, likes: float, more: Reals) -> Reals:
    """Return each article's score, by its words and by the feedback of `likes` papers; `more` are log-odds besides."""
    odds = _WORDS_ALONE + _WORDS_SLOPE * words if feedback is None else _with_feedback(words, feedback, likes)
    found: Reals = (1 / (1 + np.exp(-_MOST * np.tanh((odds + more - _USUAL) / _MOST)))).astype(np.float32)
    return found


def without_full(chance: Reals) -> Reals:
    """Return the scores of articles that have no interest in full, where words are all that is known."""
    found: Reals = np.where(chance < _SURE, chance * np.float32(THRESHOLD / _SURE), chance)
    return found


def _with_feedback(words: Reals, feedback: FeedbackScores, likes: float) -> Reals:
    share = _EVEN / (_EVEN + likes)
    learned = likes / (1 + likes)
    parts = (1 - share) * (_CENTRE * feedback.centre + _NEAREST * feedback.nearest) + learned * _ODDS * feedback.odds
    known = math.log1p(min(likes, _MOST_LIKES))
    slope = _SLOPE + _SLOPE_OF_FEW / known
    found: Reals = _BASE + _BASE_BY_LIKES * known + slope * (share * _WORDS * words + parts)
    return found
