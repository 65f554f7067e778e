"""Which articles make a digest: the best, not twelve times the same thing, and something for each interest."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from app.models import Profile
from app.ranking.calibration import THRESHOLD
from app.ranking.concepts import Mask
from app.ranking.index import Index
from app.ranking.interest_query import InterestQuery
from app.ranking.scores import Scores

# For each place so many are looked at, so that there is something to vary with.
_CANDIDATES: Final = 3
# How much of its worth an article loses that says what a chosen one says.
_REPETITION: Final = 0.5
# Two articles as alike as this are one story, that came on two days: within one, repeats are not even indexed.
_SAME: Final = 0.8
_FEWEST_TERMS: Final = 12


class Selection:
    """Chooses among a window's articles for one reader; the numbers are the window's.

    `kept_for` says for which interest (its place among the query's) a chosen article got its place, and `varied` which
    got theirs before articles of a higher score, for these say what others said.
    """

    def __init__(self, index: Index, scores: Scores, profile: Profile, query: InterestQuery) -> None:
        self.followed = index.by(profile.authors)
        self.kept_for: dict[int, int] = {}
        self.varied: set[int] = set()
        self._index = index
        self._chance = scores.chance
        self._full = scores.words.full
        self._excluded = scores.words.excluded(query.exclude)
        asks = bool(query.whole) or bool(len(scores.liked))
        self._good: Mask = scores.chance >= (THRESHOLD if asks else 0)

    def candidates(self, kind: Mask, most: int) -> list[int]:
        """Return the best of a kind, best first, with those by followed authors and each interest's best."""
        numbers = np.flatnonzero(kind & ~self._excluded)
        order = numbers[np.argsort(-self._chance[numbers], kind="stable")]
        good = order[self._good[order]]
        best = good[: _CANDIDATES * most].tolist()
        for full in self._full:
            best += good[full[good]][:1].tolist()
        best += [number for number in self.followed if kind[number]]
        return sorted(set(best), key=lambda number: (-self._chance[number], number))

    def pick(self, candidates: Sequence[int], most: int) -> list[int]:
        """Choose at most so many of candidates that come best first; the chosen keep that order.

        Followed authors come first, then the best of all, the best of each interest that has something good, and
        whatever adds most to what is there (maximal marginal relevance, Carbonell and Goldstein 1998).
        """
        # A model may have put them in another order than the scores; the worth of a place stays.
        worth = np.sort(self._chance[list(candidates)])[::-1]
        alike = self._index.alike_each(candidates)
        same = alike >= np.where(self._is_long(candidates), _SAME, np.inf)
        chosen: list[int] = []
        for place, interest in self._claims(candidates, chosen):
            if len(chosen) < most and not same[place, chosen].any() and place not in chosen:
                chosen.append(place)
                if interest is not None:
                    self.kept_for[candidates[place]] = interest
        while len(chosen) < min(most, len(candidates)):
            value = worth * (1 - _REPETITION * alike[chosen].max(axis=0, initial=0))
            value[same[chosen].any(axis=0)] = -1
            value[chosen] = -1
            best = int(value.argmax())
            if value[best] < 0:
                break
            chosen.append(best)
        self._note(candidates, chosen, most)
        return [candidates[place] for place in sorted(chosen)]

    def _note(self, candidates: Sequence[int], chosen: Sequence[int], most: int) -> None:
        """Note which articles would have no place by their scores alone, and which have one that needs no reason."""
        for place in chosen:
            number = candidates[place]
            if place < most:
                self.kept_for.pop(number, None)
            elif number not in self.kept_for and number not in self.followed:
                self.varied.add(number)

    def _is_long(self, candidates: Sequence[int]) -> Mask:
        """Which articles say enough for being alike to mean being the same."""
        starts, numbers = self._index.rows.starts, np.array(candidates, dtype=np.intp)
        long: npt.NDArray[np.bool_] = starts[numbers + 1] - starts[numbers] >= _FEWEST_TERMS
        return long

    def _claims(self, candidates: Sequence[int], chosen: Sequence[int]) -> Iterator[tuple[int, int | None]]:
        """The places in `candidates` that come before all others, with the interest that asks for each.

        What was chosen meanwhile may meet an interest.
        """
        yield from ((place, None) for place, number in enumerate(candidates) if number in self.followed)
        yield from ((place, None) for place in range(min(1, len(candidates))))
        for interest, full in enumerate(self._full):
            good = [place for place, number in enumerate(candidates) if full[number] and self._good[number]]
            if good and not any(full[candidates[place]] for place in chosen):
                yield good[0], interest
