"""What a reader has liked and not: the stored vectors of papers, younger ones weighing more."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt

from app.models import RatedPaper
from app.ranking.counts import Numbers, Reals, Terms
from app.ranking.vectors import MOST_TERMS, TERM_BYTES

MOST_PAPERS: Final = 400
"""Of a reader's papers so many, the youngest, are looked at."""
_HALF_LIFE_DAYS: Final = 365
# What was liked years ago still counts half of what was liked today.
_OLDEST_WEIGHT: Final = 0.5


@dataclass(frozen=True, slots=True)
class Papers:
    """Papers' words one behind the other: paper n has the entries whose `owner` is n, and weighs `weights[n]`."""

    titles: tuple[str, ...]
    weights: Reals
    owner: Numbers
    terms: Terms
    counts: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.titles)


@dataclass(frozen=True, slots=True)
class Taste:
    """What a reader likes and dislikes, by the day for which it is asked."""

    liked: Papers
    disliked: Papers

    @classmethod
    def of(cls, papers: Sequence[RatedPaper], day: date) -> "Taste":
        """Read stored papers. What was rated more than a year before `day` weighs a quarter less, and so on to half."""
        youngest = sorted(papers, key=lambda paper: paper.rated_at, reverse=True)[:MOST_PAPERS]
        liked, disliked = ([paper for paper in youngest if paper.liked is wanted] for wanted in (True, False))
        return cls(_papers(liked, day), _papers(disliked, day))


def _papers(rated: Sequence[RatedPaper], day: date) -> Papers:
    read = [(paper, vector) for paper in rated if (vector := _read(paper.vector)) is not None]
    ages = np.array([max((day - paper.rated_at.date()).days, 0) for paper, _ in read], dtype=np.float32)
    weights = _OLDEST_WEIGHT + (1 - _OLDEST_WEIGHT) * np.exp2(-ages / _HALF_LIFE_DAYS)
    return Papers(
        titles=tuple(paper.title for paper, _ in read),
        weights=weights.astype(np.float32),
        owner=np.repeat(np.arange(len(read), dtype=np.int32), np.array([len(t) for _, (t, _) in read], dtype=np.intp)),
        terms=np.concatenate([np.empty(0, np.uint32), *(terms for _, (terms, _) in read)]),
        counts=np.concatenate([np.empty(0, np.uint8), *(counts for _, (_, counts) in read)]),
    )


def _read(vector: str) -> tuple[Terms, npt.NDArray[np.uint8]] | None:
    """Return a stored vector's terms and counts; None for what is no vector, which then counts for nothing."""
    try:
        raw = base64.b64decode(vector, validate=True)
    except (binascii.Error, ValueError):
        return None
    size, rest = divmod(len(raw), TERM_BYTES + 1)
    if rest or not 0 < size <= MOST_TERMS:
        return None
    terms = np.frombuffer(raw, dtype="<u4", count=size).astype(np.uint32)
    counts = np.frombuffer(raw, dtype=np.uint8, offset=TERM_BYTES * size)
    return (terms, counts) if bool((np.diff(terms.astype(np.int64)) > 0).all()) and bool(counts.all()) else None
