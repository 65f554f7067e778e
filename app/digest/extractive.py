"""A summary and key points made of an abstract's own sentences: no key, no network, nothing invented."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from app.models import Article, Profile
from app.ranking.wish import InterestQuery
from app.ranking.words import Stems
from app.sources.text import MAX_ABSTRACT, shorten

MAX_SUMMARY: Final = 480
MAX_POINT: Final = 220
MAX_POINTS: Final = 3

# A full stop, and then what can begin a sentence; not behind an initial or an abbreviation.
_SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=[\"'(\[$]?[A-Z0-9\\])")
_NO_END = re.compile(
    r"(?:\b[A-Z]|\b(?:e\.g|i\.e|cf|vs|etc|al|Fig|Figs|Eq|Eqs|Sec|Ref|Refs|Tab|No|Dr|Prof|St|approx|resp))\.$"
)
_LONGEST_ABBREVIATION: Final = 12
_SHORTEST_SENTENCE: Final = 30
_SUMMARY_SENTENCES: Final = 2
# These sentences announce what was done and found, as opposed to what others thought before.
_CUE = re.compile(
    r"\b(?:we (?:propose|present|introduce|show|prove|find|demonstrate|develop|study|report|describe|release)"
    r"|this (?:paper|work|article|study)|our (?:results|method|approach|model|experiments|findings)"
    r"|results (?:show|suggest|indicate)|outperforms?|state[- ]of[- ]the[- ]art|for the first time)\b",
    re.IGNORECASE,
)
# Bounded, and never begun in the middle of a number: digits without end are read once.
_FIGURE = re.compile(r"(?<![\d.])\d{1,9}(?:\.\d{1,9})?\s?(?:%|\N{MULTIPLICATION SIGN}|x\b|-fold|times|percent)")
_CUE_WEIGHT: Final = 1.0
_FIGURE_WEIGHT: Final = 0.5
_TERM_WEIGHT: Final = 0.4
_MOST_TERMS: Final = 5
# Abstracts whose sentences are kept: some 10 kB each.
_KEPT: Final = 500


@dataclass(frozen=True, slots=True)
class Extract:
    """What an article says, in its own words."""

    summary: str
    key_points: tuple[str, ...]


class Extractor:
    """Chooses the sentences that say what was done and found, those first that meet the reader's profile.

    A sentence counts for its place (the first sets the scene, the last often concludes), for words that announce a
    contribution, for figures, and for words of the profile.
    """

    def __init__(self, profile: Profile) -> None:
        # A title says what somebody is, and its words are in half of the sentences.
        self._interest_stems = frozenset(InterestQuery.of(profile.model_copy(update={"title": ""})).stems)

    def extract(self, article: Article) -> Extract:
        """Summarise an article; without an abstract there is nothing to say beyond its title."""
        abstract = article.abstract[:MAX_ABSTRACT]
        found = _read(abstract)
        if not found:
            return Extract("No abstract was given.", ())
        if len(abstract) <= MAX_POINT or len(found) == 1:
            return Extract(shorten(abstract, MAX_SUMMARY), ())
        order = sorted(range(len(found)), key=lambda place: (-self._weight(found[place]), place))
        summary = _fitting(found, order)
        points = [place for place in order if place not in summary]
        return Extract(
            shorten(" ".join(found[place].text for place in summary), MAX_SUMMARY),
            tuple(shorten(found[place].text, MAX_POINT) for place in sorted(points[:MAX_POINTS])),
        )

    def _weight(self, sentence: "_Sentence") -> float:
        met = len(self._interest_stems & sentence.stems)
        return sentence.weight + _TERM_WEIGHT * min(met, _MOST_TERMS)


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    stems: frozenset[str]
    weight: float
    """What it is worth to every reader."""


@lru_cache(maxsize=_KEPT)
def _read(abstract: str) -> tuple[_Sentence, ...]:
    """What is the same for every reader of an abstract: a day's readers are told of the same few hundred."""
    stems = Stems()
    found = sentences(abstract)
    return tuple(
        _Sentence(text, frozenset(stems.of_text(text)), _weight(text, place, len(found)))
        for place, text in enumerate(found)
    )


def _weight(text: str, place: int, count: int) -> float:
    position = 0.8 if place == 0 else 0.4 if place == count - 1 else 0.0
    return position + _CUE_WEIGHT * bool(_CUE.search(text)) + _FIGURE_WEIGHT * bool(_FIGURE.search(text))


def sentences(text: str) -> list[str]:
    """Split a text, as far as an abstract goes, into sentences; what is too short stays with what came before it."""
    found: list[str] = []
    for part in _SENTENCE_END.split(text[:MAX_ABSTRACT]):
        if found and (
            _NO_END.search(found[-1][-_LONGEST_ABBREVIATION:])
            or len(found[-1]) < _SHORTEST_SENTENCE
            or len(part) < _SHORTEST_SENTENCE
        ):
            found[-1] = f"{found[-1]} {part}"
        elif part.strip():
            found.append(part.strip())
    return found


def _fitting(found: Sequence[_Sentence], order: Sequence[int]) -> list[int]:
    """The best sentence, and the next best that still fits beside it, in the order of the text."""
    chosen = [order[0]]
    room = MAX_SUMMARY - len(found[order[0]].text)
    for place in order[1:]:
        if len(chosen) == _SUMMARY_SENTENCES:
            break
        if len(found[place].text) < room:
            chosen.append(place)
            room -= len(found[place].text) + 1
    return sorted(chosen)
