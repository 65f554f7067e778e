"""Extractive summaries: a summary and key points from the sentences of an abstract, without a model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from app.models.articles import Article
from app.models.profiles import Profile
from app.ranking.interest_query import InterestQuery
from app.ranking.words import Stems
from app.sources.text import MAX_ABSTRACT, shorten

MAX_SUMMARY: Final = 480
MAX_POINT: Final = 220
MAX_POINTS: Final = 3

# A full stop followed by a possible sentence start, except after an initial or an abbreviation.
_SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=[\"'(\[$]?[A-Z0-9\\])")
_NO_END = re.compile(
    r"(?:\b[A-Z]|\b(?:e\.g|i\.e|cf|vs|etc|al|Fig|Figs|Eq|Eqs|Sec|Ref|Refs|Tab|No|Dr|Prof|St|approx|resp))\.$"
)
_LONGEST_ABBREVIATION: Final = 12
_SHORTEST_SENTENCE: Final = 30
_MAX_SENTENCES: Final = 2
# Phrases that announce contributions and results, not related work.
_CUE = re.compile(
    r"\b(?:we (?:propose|present|introduce|show|prove|find|demonstrate|develop|study|report|describe|release)"
    r"|this (?:paper|work|article|study)|our (?:results|method|approach|model|experiments|findings)"
    r"|results (?:show|suggest|indicate)|outperforms?|state[- ]of[- ]the[- ]art|for the first time)\b",
    re.IGNORECASE,
)
# Bounded, and never matched from the middle of a number: long digit strings are scanned once.
_FIGURE = re.compile(r"(?<![\d.])\d{1,9}(?:\.\d{1,9})?\s?(?:%|\N{MULTIPLICATION SIGN}|x\b|-fold|times|percent)")
_CUE_WEIGHT: Final = 1.0
_FIGURE_WEIGHT: Final = 0.5
_TERM_WEIGHT: Final = 0.4
_MAX_TERMS: Final = 5
# Number of cached abstracts, about 10 kB each.
_CACHE_SIZE: Final = 500


@dataclass(frozen=True, slots=True)
class Extract:
    """A summary and key points of an article."""

    summary: str
    key_points: tuple[str, ...]


class Extractor:
    """Selects sentences about contributions and results, with preference for the reader's interests.

    The weight of a sentence depends on its position (first and last), phrases that announce a contribution, figures,
    and terms of the profile.
    """

    def __init__(self, profile: Profile) -> None:
        # Without the profile's title: its words occur in half of the sentences.
        self._interest_stems = frozenset(InterestQuery.of(profile.model_copy(update={"title": ""})).stems)

    def extract(self, article: Article) -> Extract:
        """Summarise an article from its abstract."""
        abstract = article.abstract[:MAX_ABSTRACT]
        found = _read(abstract)
        if not found:
            return Extract("No abstract available.", ())
        if len(abstract) <= MAX_POINT or len(found) == 1:
            return Extract(shorten(abstract, MAX_SUMMARY), ())
        order = sorted(range(len(found)), key=lambda index: (-self._weight(found[index]), index))
        summary = _summary_sentences(found, order)
        points = [index for index in order if index not in summary]
        return Extract(
            shorten(" ".join(found[index].text for index in summary), MAX_SUMMARY),
            tuple(shorten(found[index].text, MAX_POINT) for index in sorted(points[:MAX_POINTS])),
        )

    def _weight(self, sentence: "_Sentence") -> float:
        matches = len(self._interest_stems & sentence.stems)
        return sentence.weight + _TERM_WEIGHT * min(matches, _MAX_TERMS)


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    stems: frozenset[str]
    weight: float
    """The part of the weight that does not depend on the reader."""


@lru_cache(maxsize=_CACHE_SIZE)
def _read(abstract: str) -> tuple[_Sentence, ...]:
    """Return the sentences of an abstract, cached: the readers of a day share a few hundred abstracts."""
    stems = Stems()
    found = sentences(abstract)
    return tuple(
        _Sentence(text, frozenset(stems.of_text(text)), _weight(text, index, len(found)))
        for index, text in enumerate(found)
    )


def _weight(text: str, index: int, count: int) -> float:
    position = 0.8 if index == 0 else 0.4 if index == count - 1 else 0.0
    return position + _CUE_WEIGHT * bool(_CUE.search(text)) + _FIGURE_WEIGHT * bool(_FIGURE.search(text))


def sentences(text: str) -> list[str]:
    """Split the first `MAX_ABSTRACT` characters into sentences. A short sentence is joined to the previous one."""
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


def _summary_sentences(found: Sequence[_Sentence], order: Sequence[int]) -> list[int]:
    """Return the best sentence, and the next best that fits within `MAX_SUMMARY`, in text order."""
    chosen = [order[0]]
    remaining = MAX_SUMMARY - len(found[order[0]].text)
    for index in order[1:]:
        if len(chosen) == _MAX_SENTENCES:
            break
        if len(found[index].text) < remaining:
            chosen.append(index)
            remaining -= len(found[index].text) + 1
    return sorted(chosen)
