"""A profile as a query: interests one by one, goals and title as a whole, and exclusions."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.models.profiles import Profile
from app.ranking.counts import Terms
from app.ranking.words import Stems, folded, term, words

GOALS_WEIGHT: Final = 0.25
TITLE_WEIGHT: Final = 0.15


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a phrase: its stem, the `plain` word for texts that are not English, and the word as `written`."""

    stem: str
    plain: str
    written: str

    @property
    def is_capital(self) -> bool:
        """Whether it is written like an acronym."""
        return sum(letter.isupper() for letter in self.written) > 1


@dataclass(frozen=True, slots=True)
class Phrase:
    """The words of a phrase, in order, and the text as the reader wrote it."""

    text: str
    words: tuple[Word, ...]

    @property
    def stems(self) -> tuple[str, ...]:
        """The words' stems, in order."""
        return tuple(word.stem for word in self.words)

    def terms(self) -> Terms:
        """Return the phrase's terms without duplicates."""
        return terms_of(dict.fromkeys(self.stems))


@dataclass(frozen=True, slots=True)
class InterestQuery:
    """A profile as words and phrases; phrases that contain only stop words are omitted."""

    interests: tuple[Phrase, ...]
    goals: tuple[Phrase, ...]
    title: tuple[Phrase, ...]
    exclude: tuple[Phrase, ...]

    @property
    def whole(self) -> tuple[Phrase, ...]:
        """The texts that an article can match: interests, goals, title."""
        return (*self.interests, *self.goals, *self.title)

    @property
    def stems(self) -> frozenset[str]:
        """The stems of all interests, goals and the title."""
        return frozenset(stem for phrase in self.whole for stem in phrase.stems)

    @classmethod
    def of(cls, profile: Profile) -> "InterestQuery":
        """Split a profile into phrases."""
        stems = Stems()

        def phrases(*texts: str) -> tuple[Phrase, ...]:
            found = (phrase_of(text, stems) for text in texts)
            return tuple(phrase for phrase in found if phrase.words)

        return cls(
            interests=phrases(*profile.interests),
            goals=phrases(profile.goals),
            title=phrases(profile.title),
            exclude=phrases(*profile.exclude),
        )


def phrase_of(text: str, stems: Stems) -> Phrase:
    """Split a phrase into words. A single letter is a name, in upper or lower case: R, r."""
    text = text.strip()
    capital = text.upper() if len(text) == 1 else text
    return Phrase(text, tuple(_words(words(capital), stems)))


def _words(found: Sequence[str], stems: Stems) -> Iterable[Word]:
    for word in found:
        for piece in stems.pieces(word):
            if piece.step:
                yield Word(piece.stem, folded(piece.written).lower(), piece.written)


def terms_of(stems: Iterable[str]) -> Terms:
    """Return the terms (numbers) of these stems."""
    return np.array([term(stem) for stem in stems], dtype=np.uint32)


def counted(phrases: Sequence[Phrase]) -> Counter[str]:
    """Count the stems of phrases."""
    return Counter(stem for phrase in phrases for stem in phrase.stems)
