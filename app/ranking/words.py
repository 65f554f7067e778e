"""Texts as terms: words, their stems, and the number by which a stem is known everywhere."""

import re
from collections.abc import Sequence
from typing import Final
from zlib import crc32

import Stemmer

# A word keeps the marks that tell C++ and C# from C; hyphens and apostrophes part words.
_WORD = re.compile(r"(?:[^\W_]|[+#])+")
_PARTING: Final = {code: " " for code in range(128) if not chr(code).isalnum() and chr(code) not in "+#"}
_STOP_TEXT: Final = """
    also an and any are as at be been but by can could do for from had has have how if in into is it its me my no not
    of off on or our out such than that the their them then there these they this to up us was we were what when where
    which who will with would you your"""
# The words that only join others. What also has a meaning of its own stays: its rarity says what it is worth.
STOP_WORDS: Final = frozenset(_STOP_TEXT.split())
_SHORTEST: Final = 2
# No text that is ranked is longer: a title and an abstract.
_MAX_TEXT: Final = 10_000


def words(text: str) -> list[str]:
    """Return the words of a text in lower case. Most texts are ASCII, for which splitting takes half the time."""
    text = text[:_MAX_TEXT].lower()
    return text.translate(_PARTING).split() if text.isascii() else _WORD.findall(text)


class Stems:
    """English stems (Snowball), each word computed once while this lives."""

    def __init__(self) -> None:
        # Without its own cache, whose upkeep costs more than it saves here.
        self._stem = Stemmer.Stemmer("english", 0).stemWord
        self._known: dict[str, str] = {}

    def of(self, word: str) -> str:
        """Return the stem of a lower-case word; "" for a stop word and for a single letter."""
        stem = self._known.get(word)
        if stem is None:
            stem = "" if word in STOP_WORDS or len(word) < _SHORTEST else self._stem(word)
            self._known[word] = stem
        return stem

    def of_text(self, text: str) -> list[str]:
        """Return the stems of a text's words in order, stop words left out."""
        return [stem for word in words(text) if (stem := self.of(word))]


def term(stem: str) -> int:
    """Return the number of a stem: its CRC-32, which is the same in every process and every release.

    Of the 20,000 stems of a large edition, one in forty editions has a pair with the same number; they count as one.
    """
    return crc32(stem.encode("utf-8", "surrogatepass"))


def contains_phrase(stems: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether the stems of `phrase` follow one another in `stems`."""
    wanted = list(phrase)
    return any(list(stems[start : start + len(wanted)]) == wanted for start in range(len(stems) - len(wanted) + 1))
