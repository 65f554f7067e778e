"""What a reader asked for in words, as weighted terms: interests one by one, goals and title as a whole."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.models import Profile
from app.ranking.counts import Reals, Terms
from app.ranking.words import Stems, term

_GOALS_WEIGHT: Final = 0.25
_TITLE_WEIGHT: Final = 0.15


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that belong local_service: as the reader wrote them, and their stems in order."""

    text: str
    stems: tuple[str, ...]

    def terms(self) -> Terms:
        """Return the phrase's terms, each once."""
        return terms_of(dict.fromkeys(self.stems))


@dataclass(frozen=True, slots=True)
class InterestQuery:
    """A profile taken apart; phrases of stop words alone are left out.

    A stem weighs by the logarithm of how often it is asked for: what ten interests name matters more than what one
    does, and not ten times as much.
    """

    interests: tuple[Phrase, ...]
    whole: tuple[Phrase, ...]
    """The texts of which one can be met as a whole: interests, goals, title."""
    exclude: tuple[Phrase, ...]
    stems: tuple[str, ...]
    terms: Terms
    weights: Reals

    @classmethod
    def of(cls, profile: Profile) -> "InterestQuery":
        """Take a profile apart."""
        stems = Stems()

        def phrases(*texts: str) -> tuple[Phrase, ...]:
            found = (Phrase(text, tuple(stems.of_text(text))) for text in texts)
            return tuple(phrase for phrase in found if phrase.stems)

        interests, goals, title = phrases(*profile.interests), phrases(profile.goals), phrases(profile.title)
        weights: Counter[str] = Counter()
        for part, weight in ((interests, 1.0), (goals, _GOALS_WEIGHT), (title, _TITLE_WEIGHT)):
            counts = Counter(stem for phrase in part for stem in phrase.stems)
            for stem, count in counts.items():
                weights[stem] += weight * math.log1p(count)  # type: ignore[assignment]  # typeshed counts in int
        return cls(
            interests=interests,
            whole=(*interests, *goals, *title),
            exclude=phrases(*profile.exclude),
            stems=tuple(weights),
            terms=terms_of(weights),
            weights=np.fromiter(weights.values(), dtype=np.float32, count=len(weights)),
        )


def terms_of(stems: dict[str, object] | Counter[str]) -> Terms:
    """Return the numbers by which these stems are known."""
    return np.fromiter(map(term, stems), dtype=np.uint32, count=len(stems))
