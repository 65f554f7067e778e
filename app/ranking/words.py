"""Converts texts to terms: splits words, reduces all spellings to one stem, and numbers the stems.

Index, profile, exclusions and stored papers all use this module, so that they agree on which words are the same.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import Stemmer

from app.ranking.spelling import FIRSTS, STEMS, american, is_one_word
from app.ranking.spelling import PREFIXES as _PREFIXES

VERSION: Final = 2
"""The version of this normalisation. Stored vectors of another version are computed again."""

_CJK: Final = (
    "\u3005\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
# A piece keeps the signs that distinguish C++ and C# from C.
_PIECE = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+(?:\+\+|[+#](?![^\W_]))?")
_IS_CJK = re.compile(rf"[{_CJK}]")
# These do not separate words: a letter in a formula is not a word of one letter.
_WITHIN: Final = "+#-'$^_\\{}=&"
_PARTING: Final = {code: " " for code in range(128) if not chr(code).isalnum() and chr(code) not in _WITHIN}
_WORD = re.compile(r"(?:[^\W_]|[+#'$^_\\{}=&-])+")
_FORMULA: Final = frozenset("$^_\\{}=")
_LATEX_ACCENT = re.compile(r"\{?\\(?:['`\"^~=.]|[uvHtcdbkr](?=\{))\{?\\?([A-Za-z])\}{0,2}")
_ACCENTS = re.compile("[\u0300-\u036f]")
# Letters that Unicode normalisation does not reduce to ASCII, and signs that have several forms.
_LETTERS: Final = {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "þ": "th", "\u0131": "i"}
_LIGATURES: Final = {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "\u00ad": "", "\u200b": ""}
_HYPHENS: Final = dict.fromkeys("\u2010\u2011\u2013\u2212", "-")
_APOSTROPHES: Final = dict.fromkeys("\u2018\u2019\u02bc", "'")
_PLAIN: Final = str.maketrans(_LETTERS | _LIGATURES | _HYPHENS | _APOSTROPHES)
_GREEK_NAMES: Final = """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma sigma tau upsilon phi
    chi psi omega"""
# The lower-case letters from alpha on, with the final sigma.
_GREEK: Final = {chr(ord("\u03b1") + place): name for place, name in enumerate(_GREEK_NAMES.split())}
_STOP_TEXT: Final = """
    also an and any are as at be been but by can could do for from had has have how if in into is it its me my no not
    of off on or our out such than that the their them then there these they this to up us was we were what when where
    which who will with would you your"""
# Only function words. A word that also carries a meaning is not listed: its rarity determines its weight.
STOP_WORDS: Final = frozenset(_STOP_TEXT.split())
_ENGLISH: Final = frozenset(["the", "of", "and", "to", "is", "with", "that", "we", "this", "are", "by", "from"])
_FOREIGN_TEXT: Final = """
    und der das ist nicht fur mit von eine einer wird werden wir dem les des une est dans pour avec nous cette sont los
    las por para una del como che della sono nel gli uma nao com dos het een zijn niet voor och att som"""
_FOREIGN: Final = frozenset(_FOREIGN_TEXT.split())
_SHORTEST: Final = 2
# Without A and I, which are English words.
_ONE_LETTER: Final = frozenset("BCDEFGHJKLMNOPQRSTUVWXYZ")
_PLURAL = re.compile(r"[A-Z]{2,}s$")
_GLUED_ACRONYM = re.compile(r"^(?:([A-Z]{3,})s?\d.*|[A-Za-z]*[a-z]([A-Z]{3,})s?)$")
# Titles and abstracts are not longer.
_MAX_TEXT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A reading of a word: a stem, the word as `written` in the text, and its distance (`step`) to the previous piece.

    A step of 0 is another reading at the same position: the agent of multi-agent.
    """

    stem: str
    written: str
    step: int = 1


def folded(text: str) -> str:
    """Return a text without accents, with LaTeX accents, ligatures, hyphens and apostrophes in plain form."""
    text = text[:_MAX_TEXT]
    if "\\" in text:
        text = _LATEX_ACCENT.sub(r"\1", text)
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text))).translate(_PLAIN)


def words(text: str) -> list[str]:
    """Return the words of a text; hyphenated words and formulas stay whole. ASCII is split in half the time."""
    text = folded(text)
    found = text.translate(_PARTING).split() if text.isascii() else _WORD.findall(text)
    return found if FIRSTS.isdisjoint(found) else _join_pairs(found)


def is_english(found: Sequence[str]) -> bool:
    """Whether the words contain no sign of another language. Texts without function words count as English."""
    if _FOREIGN.isdisjoint(found):
        return True
    foreign, english = (sum(word in known for word in found) for known in (_FOREIGN, _ENGLISH))
    return foreign < _SHORTEST or foreign <= english


def _join_pairs(found: Sequence[str]) -> list[str]:
    whole: list[str] = []
    for word in found:
        if whole and is_one_word(whole[-1].lower(), word.lower(), hyphen=False):
            whole[-1] = f"{whole[-1]}-{word}"
        else:
            whole.append(word)
    return whole


class Stems:
    """English stems (Snowball) of words. The result for each word is cached in the object."""

    def __init__(self, *, english: bool = True) -> None:
        # Without the stemmer's cache, which costs more than it saves here.
        self._stem = Stemmer.Stemmer("english", 0).stemWord if english else str
        self._pieces: dict[str, tuple[Piece, ...]] = {}

    def of(self, word: str) -> str:
        """Return the stem of a folded lower-case word; "" for a stop word and for a single letter."""
        if word in STOP_WORDS or len(word) < _SHORTEST:
            return _GREEK.get(word, "")
        if not word.isascii():
            return word
        word = american(word)
        return STEMS.get(word) or self._stem(word)

    def pieces(self, word: str) -> tuple[Piece, ...]:
        """Return the pieces of a word from `words`."""
        known = self._pieces.get(word)
        if known is None:
            known = self._pieces[word] = tuple(self.read(word))
        return known

    def of_text(self, text: str) -> list[str]:
        """Return the stems of a text's words in order, without stop words; each position gives one term."""
        return [piece.stem for word in words(text) for piece in self.pieces(word) if piece.step]

    def read(self, word: str) -> list[Piece]:
        """Split a word from `words`, without caching the result."""
        lower = word.lower()
        if lower.isalpha() and lower.isascii():
            if word in _ONE_LETTER:
                return [Piece(word, word)]
            stem = self.of(lower.removesuffix("s") if _PLURAL.match(word) else lower)
            return [Piece(stem, word), *self._glued(word, stem)] if stem else []
        parts = _PIECE.findall(word.partition("'")[0] if word[-2:-1] == "'" else word)
        return [piece for part in self._hyphened(parts, word) for piece in part]

    def _hyphened(self, parts: Sequence[str], word: str) -> list[list[Piece]]:
        found: list[list[Piece]] = []
        formula = not _FORMULA.isdisjoint(word)
        before = ""
        for part in parts:
            lower = part.lower()
            if _IS_CJK.match(part):
                found.append([Piece(each, each) for each in _bigrams(part)])
            elif before and is_one_word(before, lower, hyphen=True):
                found[-1:] = [self._joined(before, lower, f"{before}-{part}")]
                lower = before + lower
            elif part in _ONE_LETTER and not formula and "-" not in word and "&" not in word:
                found.append([Piece(part, part)])
            elif (stem := self.of(lower)) or lower in _PREFIXES:
                found.append([Piece(stem or lower, part), *self._glued(part, stem)])
            else:
                # A stop word may be joined with the next word: in-painting.
                found.append([])
            before = lower
        return found

    def _joined(self, first: str, second: str, written: str) -> list[Piece]:
        """Return the joined word and its halves: the exclusion `training` also matches post-training."""
        halves = [Piece(stem, half, 0) for half in (first, second) if (stem := self.of(half))]
        return [Piece(self.of(first + second), written), *halves]

    def _glued(self, written: str, stem: str) -> list[Piece]:
        """Return the acronym inside a compound: LLM4SE, CodeLLM."""
        if (written.isupper() and written.isalpha()) or not (found := _GLUED_ACRONYM.match(written)):
            return []
        inner = self.of((found[1] or found[2]).lower())
        return [Piece(inner, found[1] or found[2], 0)] if inner and inner != stem else []


def _bigrams(run: str) -> list[str]:
    """Return pairs of characters in place of words: Chinese, Japanese and Korean have no reliable spaces."""
    return [run[place : place + 2] for place in range(max(len(run) - 1, 1))]


def term(stem: str) -> int:
    """Return the number of a stem: its CRC-32, which is the same in every process and every release.

    A large edition has 20,000 stems. In one of forty such editions, two stems share a number and count as one.
    """
    return crc32(stem.encode("utf-8", "surrogatepass"))
