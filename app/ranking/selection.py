"""Selects the articles of a digest: the best ones, without repetition, and one for each interest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.models.profiles import Profile
from app.ranking.calibration import THRESHOLD
from app.ranking.concepts import Mask
from app.ranking.index import Index
from app.ranking.interest_query import InterestQuery
from app.ranking.scores import Scores

# Candidates for each place, so that similar ones can be avoided.
_CANDIDATES: Final = 3
# The share of its score that an article loses if it equals a selected one.
_REPETITION: Final = 0.5
# Two articles with this cosine are one story of two days. Within a day, duplicates are not indexed.
_SAME: Final = 0.8
_FEWEST_TERMS: Final = 12


@dataclass(frozen=True, slots=True)
class Pick:
    """A selected article, by its number, and what its score alone does not explain.

    `author` is a followed author, as printed in the article. `interest` is the interest (its index in the query) for
    which it was selected. `varied`: it was selected before articles with a higher score, which repeat others.
    """

    number: int
    author: str | None
    interest: int | None
    varied: bool


class Selection:
    """Selects articles of a window for one reader. Articles are numbers of the window."""

    def __init__(self, index: Index, scores: Scores, profile: Profile, query: InterestQuery) -> None:
        self._followed = index.by(profile.authors)
        self._index = index
        self._chance = scores.chance
        self._full = scores.words.full
        self._excluded = scores.words.excluded(query.exclude)
        asks = bool(query.whole) or bool(len(scores.liked))
        self._good: Mask = scores.chance >= (THRESHOLD if asks else 0)

    def candidates(self, kind: Mask, most: int) -> list[int]:
        """Return the best of a kind, best first, with those by followed authors and the best for each interest."""
        numbers = np.flatnonzero(kind & ~self._excluded)
        order = numbers[np.argsort(-self._chance[numbers], kind="stable")]
        good = order[self._good[order]]
        best = good[: _CANDIDATES * most].tolist()
        for full in self._full:
            best += good[full[good]][:1].tolist()
        best += [number for number in self._followed if kind[number]]
        return sorted(set(best), key=lambda number: (-self._chance[number], number))

    def pick(self, candidates: Sequence[int], most: int) -> list[Pick]:
        """Select at most `most` of the candidates, which are sorted best first; the result keeps their order.

        Followed authors are selected first, then the best article, the best one above the threshold for each interest,
        and then the rest by maximal marginal relevance (Carbonell and Goldstein 1998).
        """
        # A language model may have changed the order. The n-th candidate gets the n-th score.
        worth = np.sort(self._chance[list(candidates)])[::-1]
        alike = self._index.pairwise_cosines(candidates)
        same = alike >= np.where(self._is_long(candidates), _SAME, np.inf)
        chosen: list[int] = []
        interests: dict[int, int | None] = {}
        for place, interest in self._required_places(candidates, chosen):
            if len(chosen) < most and not same[place, chosen].any() and place not in chosen:
                chosen.append(place)
                interests[place] = interest
        while len(chosen) < min(most, len(candidates)):
            value = worth * (1 - _REPETITION * alike[chosen].max(axis=0, initial=0))
            value[same[chosen].any(axis=0)] = -1
            value[chosen] = -1
            best = int(value.argmax())
            if value[best] < 0:
                break
            chosen.append(best)
        return [self._pick(candidates[place], interests.get(place), by_score=place < most) for place in sorted(chosen)]

    def _pick(self, number: int, interest: int | None, *, by_score: bool) -> Pick:
        """Return the pick; an article that its score selects needs neither an interest nor variety as a reason."""
        author = self._followed.get(number)
        if by_score:
            return Pick(number, author, interest=None, varied=False)
        return Pick(number, author, interest, varied=interest is None and author is None)

    def _is_long(self, candidates: Sequence[int]) -> Mask:
        """Return which articles have enough words that a high similarity means the same story."""
        starts, numbers = self._index.rows.starts, np.array(candidates, dtype=np.intp)
        long: npt.NDArray[np.bool_] = starts[numbers + 1] - starts[numbers] >= _FEWEST_TERMS
        return long

    def _required_places(self, candidates: Sequence[int], chosen: Sequence[int]) -> Iterator[tuple[int, int | None]]:
        """Yield the indexes of `candidates` to select first, each with the interest that requires it, if any.

        An interest that an article in `chosen` contains requires nothing more.
        """
        yield from ((place, None) for place, number in enumerate(candidates) if number in self._followed)
        yield from ((place, None) for place in range(min(1, len(candidates))))
        for interest, full in enumerate(self._full):
            good = [place for place, number in enumerate(candidates) if full[number] and self._good[number]]
            if good and not any(full[candidates[place]] for place in chosen):
                yield good[0], interest
