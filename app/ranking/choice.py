"""Which articles make a digest: the best, not twelve times the same thing, and something for each interest."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from app.models import Profile
from app.ranking.counts import Reals
from app.ranking.index import Index
from app.ranking.scores import alike_each
from app.ranking.wish import InterestQuery, Phrase
from app.ranking.words import Stems, contains_phrase

# For each place so many are looked at, so that there is something to vary with.
_CANDIDATES: Final = 3
FLOOR: Final = 0.03
"""What fits less is not sent, unless it names an interest in full; labelled readers wanted nothing that does."""
# How much of its worth an article loses that says what a chosen one says.
_REPETITION: Final = 0.5
# Two articles as alike as this are one story, that came on two days: within one, repeats are not even indexed.
_SAME: Final = 0.8
_FEWEST_TERMS: Final = 12

Mask = npt.NDArray[np.bool_]


class Choice:
    """Chooses among a window's articles for one reader; the numbers are the window's."""

    def __init__(
        self, index: Index, strength: Reals, profile: Profile, wish: InterestQuery, *, says_something: bool
    ) -> None:
        self.followed = index.by(profile.authors)
        self.sizes = [len(phrase.terms()) for phrase in wish.interests]
        self.parts = [index.having(phrase.terms()) for phrase in wish.interests]
        self.met: list[Mask] = [part == size for part, size in zip(self.parts, self.sizes, strict=True)]
        self._index = index
        self._strength = strength
        self._unwanted = [(each, index.having(each.terms()) == len(each.terms())) for each in wish.exclude]
        self._stems = Stems()
        named = np.logical_or.reduce(self.met) if self.met else np.zeros(len(index.articles), dtype=np.bool_)
        self._good: Mask = (strength >= (FLOOR if says_something else 0)) | named

    def candidates(self, kind: Mask, most: int) -> list[int]:
        """Return the best of a kind, best first, with those by followed authors and each interest's best."""
        numbers = np.flatnonzero(kind)
        order = numbers[np.argsort(-self._strength[numbers], kind="stable")]
        best = self._first(order[self._good[order]], _CANDIDATES * most)
        for met in self.met:
            best += self._first(order[met[order]], 1)
        best += [number for number in self.followed if kind[number]]
        return sorted(set(best), key=lambda number: (-self._strength[number], number))

    def pick(self, candidates: Sequence[int], most: int) -> list[int]:
        """Choose at most so many of candidates that come best first; the chosen keep that order.

        Followed authors come first, then the best of all, the best of each interest that has something good, and
        whatever adds most to what is there (maximal marginal relevance, Carbonell and Goldstein 1998).
        """
        # A model may have put them in another order than the scores; the worth of a place stays.
        worth = np.sort(self._strength[list(candidates)])[::-1]
        alike = alike_each(self._index, candidates)
        same = alike >= np.where(self._is_long(candidates), _SAME, np.inf)
        chosen: list[int] = []
        for place in self._claims(candidates, chosen):
            if len(chosen) < most and not same[place, chosen].any() and place not in chosen:
                chosen.append(place)
        while len(chosen) < min(most, len(candidates)):
            value = worth * (1 - _REPETITION * alike[chosen].max(axis=0, initial=0))
            value[same[chosen].any(axis=0)] = -1
            value[chosen] = -1
            best = int(value.argmax())
            if value[best] < 0:
                break
            chosen.append(best)
        return [candidates[place] for place in sorted(chosen)]

    def _is_long(self, candidates: Sequence[int]) -> Mask:
        """Which articles say enough for being alike to mean being the same."""
        starts, numbers = self._index.rows.starts, np.array(candidates, dtype=np.intp)
        return starts[numbers + 1] - starts[numbers] >= _FEWEST_TERMS

    def _claims(self, candidates: Sequence[int], chosen: Sequence[int]) -> Iterator[int]:
        """The places in `candidates` that come before all others; what was chosen meanwhile may meet an interest."""
        yield from (place for place, number in enumerate(candidates) if number in self.followed)
        yield from range(min(1, len(candidates)))
        for met in self.met:
            good = [place for place, number in enumerate(candidates) if met[number] and self._strength[number] >= FLOOR]
            if good and not any(met[candidates[place]] for place in chosen):
                yield good[0]

    def _first(self, numbers: npt.NDArray[np.intp], most: int) -> list[int]:
        found: list[int] = []
        for number in numbers.tolist():
            if len(found) == most:
                break
            if not any(having[number] and self._says(number, phrase) for phrase, having in self._unwanted):
                found.append(number)
        return found

    def _says(self, number: int, phrase: Phrase) -> bool:
        """Whether an article that has all words of a phrase has them one behind the other."""
        if len(phrase.stems) == 1:
            return True
        article = self._index.articles[number]
        texts = (article.title, article.abstract)
        return any(contains_phrase(self._stems.of_text(text), phrase.stems) for text in texts)
