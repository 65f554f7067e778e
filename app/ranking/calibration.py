"""Calibrates scores to one scale for all readers and days: the odds that the reader wants an article, against others.

An article with a score of 0.5 is as likely to be wanted as any other of its window; 0.9 means nine times these odds.
The constants are fitted by logistic regression on readers with known preferences, for each number of liked papers.
docs/PERFORMANCE.md states how many of the articles with a score were wanted.
"""

import math
from typing import Final

import numpy as np

from app.ranking.counts import Reals
from app.ranking.feedback_scores import FeedbackScores

THRESHOLD: Final = 0.55
"""Articles with a lower score are not sent: they are hardly more likely to be wanted than any other."""

_USUAL: Final = -4.12
"""The log-odds of an article about which nothing is known."""
_MOST: Final = 12.0
"""The limit that the log-odds approach and never reach."""
_WORDS_SLOPE: Final = 3.2
_WORDS_ALONE: Final = -5.26
_SURE: Final = 0.75
"""Without feedback, articles that contain no interest in full are wanted half as often, up to this score."""

# The factor of each part if there is feedback, chosen by the part's usual spread.
_EVEN: Final = 0.6
_WORDS: Final = 7.0
_CENTRE: Final = 40.0
_NEAREST: Final = 90.0
_ODDS: Final = 20.0
# More liked papers make the parts larger and more reliable, up to the number that was measured.
_MOST_LIKES: Final = 30.0
_SLOPE: Final = 0.19
_SLOPE_OF_FEW: Final = 0.12
_BASE: Final = 0.6
_BASE_BY_LIKES: Final = -1.09


def scores_of(words: Reals, feedback: FeedbackScores | None, likes: float, more: Reals) -> Reals:
    """Return each article's score from its words, the feedback on `likes` papers, and additional log-odds (`more`)."""
    odds = _WORDS_ALONE + _WORDS_SLOPE * words if feedback is None else _with_feedback(words, feedback, likes)
    found: Reals = (1 / (1 + np.exp(-_MOST * np.tanh((odds + more - _USUAL) / _MOST)))).astype(np.float32)
    return found


def lower_without_full_interest(chance: Reals) -> Reals:
    """Return the scores of articles that contain no interest in full, for a reader without feedback."""
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
