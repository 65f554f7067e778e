"""A reader's feedback model: the stored vectors of liked and disliked papers; recent feedback has more weight."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt

from app.models.profiles import RatedPaper
from app.ranking.counts import Numbers, Reals, Terms
from app.ranking.vectors import MARK, MOST_TERMS, TERM_BYTES

MOST_PAPERS: Final = 400
"""Only so many of a reader's papers are used, those with the most recent feedback."""
_BYTES: Final = TERM_BYTES + 1
_HALF_LIFE_DAYS: Final = 365
# The weight of old feedback approaches half of the weight of feedback given today.
_OLDEST_WEIGHT: Final = 0.5


@dataclass(frozen=True, slots=True)
class Papers:
    """The concatenated words of papers: paper n has the entries whose `owner` is n, and the weight `weights[n]`."""

    titles: tuple[str, ...]
    weights: Reals
    owner: Numbers
    terms: Terms
    counts: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.titles)


@dataclass(frozen=True, slots=True)
class FeedbackModel:
    """The liked and disliked papers of a reader, with their weights on a given day."""

    liked: Papers
    disliked: Papers

    @classmethod
    def of(cls, papers: Sequence[RatedPaper], day: date) -> "FeedbackModel":
        """Read stored papers. A rating loses a quarter of its weight in the first year, and in time half of it."""
        youngest = sorted(papers, key=lambda paper: paper.rated_at, reverse=True)[:MOST_PAPERS]
        liked, disliked = ([paper for paper in youngest if paper.liked is wanted] for wanted in (True, False))
        return cls(_papers(liked, day), _papers(disliked, day))


def _papers(rated: Sequence[RatedPaper], day: date) -> Papers:
    read = [(paper, raw) for paper in rated if (raw := _read(paper.vector)) is not None]
    sizes = np.array([len(raw) // _BYTES for _, raw in read], dtype=np.intp)
    ages = np.array([max((day - paper.rated_at.date()).days, 0) for paper, _ in read], dtype=np.float32)
    weights = _OLDEST_WEIGHT + (1 - _OLDEST_WEIGHT) * np.exp2(-ages / _HALF_LIFE_DAYS)
    terms = b"".join(raw[: len(raw) // _BYTES * TERM_BYTES] for _, raw in read)
    counts = b"".join(raw[len(raw) // _BYTES * TERM_BYTES :] for _, raw in read)
    return Papers(
        titles=tuple(paper.title for paper, _ in read),
        weights=weights.astype(np.float32),
        owner=np.repeat(np.arange(len(read), dtype=np.int32), sizes),
        terms=np.frombuffer(terms, dtype="<u4").astype(np.uint32),
        counts=np.maximum(np.frombuffer(counts, dtype=np.uint8), 1),
    )


def _read(vector: str) -> bytes | None:
    """Return the bytes of a stored vector; None for an invalid one, which is then ignored."""
    try:
        raw = base64.b64decode(vector.removeprefix(MARK), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if raw and len(raw) % _BYTES == 0 and len(raw) <= MOST_TERMS * _BYTES else None
