"""What a profile asks for, as the stems of its words: its interests one by one, its goals and title as a whole."""

import re
from dataclasses import dataclass
from typing import Final

import Stemmer

from app.models import Profile

# A word keeps the marks that tell C++ and C# from C; hyphens and apostrophes part words.
_WORD = re.compile(r"(?:[^\W_]|[+#])+")
_PARTING: Final = {code: " " for code in range(128) if not chr(code).isalnum() and chr(code) not in "+#"}
_STOP_TEXT: Final = """
    a about after all also an and any are as at be been but by can could do for from had has have how i if in into is
    it its me more most my new no not of on or our over such than that the their them then there these they this to
    under us use used using via was we were what when where which who will with work would you your
    follow interest interested keep know learn like paper papers recent research researcher team understand want"""
# No text that is ranked is longer: a title and an abstract.
_MAX_TEXT: Final = 10_000
# Common English words, and what people say around their interests.
STOP_WORDS: Final = frozenset(_STOP_TEXT.split())


def words(text: str) -> list[str]:
    """Return the words of a text in lower case. Most texts are ASCII, for which splitting takes half the time."""
    text = text[:_MAX_TEXT].lower()
    return text.translate(_PARTING).split() if text.isascii() else _WORD.findall(text)


class Stems:
    """English stems (Snowball), each word computed once."""

    def __init__(self) -> None:
        # Without its own cache, whose upkeep costs more than it saves here.
        self._stem = Stemmer.Stemmer("english", 0).stemWord
        self._known: dict[str, str] = dict.fromkeys(STOP_WORDS, "")

    def of(self, word: str) -> str:
        """Return the stem of a lower-case word; "" for a stop word."""
        stem = self._known.get(word)
        if stem is None:
            stem = self._known[word] = self._stem(word)
        return stem

    def of_text(self, text: str) -> tuple[str, ...]:
        """Return the stems of a text's words in order, stop words left out, each once."""
        return tuple(dict.fromkeys(stem for word in words(text) if (stem := self.of(word))))


@dataclass(frozen=True, slots=True)
class ProfileTerms:
    """The stems of a profile: `interests` pairs each interest, as its reader wrote it, with its stems."""

    interests: tuple[tuple[str, tuple[str, ...]], ...]
    goals: tuple[str, ...]
    title: tuple[str, ...]

    @classmethod
    def of(cls, profile: Profile, stems: Stems) -> "ProfileTerms":
        """Take a profile apart; an interest of stop words alone is left out."""
        pairs = ((interest, stems.of_text(interest)) for interest in profile.interests)
        return cls(
            interests=tuple((interest, words) for interest, words in pairs if words),
            goals=stems.of_text(profile.goals),
            title=stems.of_text(profile.title),
        )

    @property
    def all(self) -> tuple[str, ...]:
        """Every stem, each once."""
        words = [stem for _, stems in self.interests for stem in stems]
        return tuple(dict.fromkeys([*words, *self.goals, *self.title]))
