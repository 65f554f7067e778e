"""Maps the phrases of a reader to concepts: a word or an acronym, in all forms in which the window writes it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from app.ranking.counts import Reals
from app.ranking.fields import rarity
from app.ranking.index import Index
from app.ranking.interest_query import Phrase, Word
from app.ranking.positions import NOWHERE, Spans, in_order, together
from app.ranking.words import term

_LONGEST_FORM: Final = 8
_FEWEST_DEFINITIONS: Final = 3
"""The number of texts that must define an acronym written in lower case, because it may be a word: `rise`."""

Concept = tuple[tuple[str, ...], ...]
"""The forms of one concept, each as the stems of its words. The acronym comes first."""

Mask = npt.NDArray[np.bool_]


class Concepts:
    """Finds concepts and phrases in a window. Each result is cached in the object."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._spans: dict[Concept, Spans] = {}
        self._numbers: dict[str, int | None] = {}
        self._rarities: dict[Concept, float] = {}
        self._concepts: dict[str, tuple[Concept, ...]] = {}

    def of(self, phrase: Phrase) -> tuple[Concept, ...]:
        """Split a phrase into concepts: an acronym and its long form are one concept."""
        known = self._concepts.get(phrase.text)
        if known is None:
            known = self._concepts[phrase.text] = tuple(self._split(phrase.words))
        return known

    def spans(self, concept: Concept) -> Spans:
        """Return the positions of a concept in all its forms."""
        known = self._spans.get(concept)
        if known is None:
            readings = [in_order([self._of_stem(stem) for stem in reading]) for reading in concept]
            known, *others = readings
            for other in others:
                known = known | other if len(other) else known
            self._spans[concept] = known
        return known

    def full(self, concepts: Sequence[Concept]) -> Mask:
        """Return which articles contain all of these close to each other; the words of a long form in any order."""
        return self._having(together([self._loose(concept) for concept in dict.fromkeys(concepts)]))

    def literal(self, concepts: Sequence[Concept]) -> Mask:
        """Return which articles contain these directly one after another."""
        return self._having(in_order([self.spans(concept) for concept in concepts]))

    def any(self, concept: Concept) -> Mask:
        """Return which articles contain a concept."""
        return self._having(self.spans(concept))

    def weigh(self, concept: Concept, title: float) -> tuple[npt.NDArray[np.intp], Reals]:
        """Return the articles that contain a concept, and its BM25 in each plus `title` times that in the title."""
        if len(concept) == 1 and len(concept[0]) == 1:
            return self._weigh_stem(concept[0][0], title)
        spans = self.spans(concept)
        owners = self._index.positions.owners(spans)
        articles, weights = self._index.text.counted(owners)
        weights *= rarity(len(self._index.articles), np.array(len(articles)))
        among, extra = self._index.title.counted(owners[self._index.in_title(spans, owners)])
        extra *= title * rarity(len(self._index.articles), np.array(len(among)))
        weights[np.searchsorted(articles, among)] += extra
        return articles, weights

    def rarity(self, concept: Concept) -> float:
        """Return BM25's idf of a concept. A concept that no article contains has the highest one."""
        known = self._rarities.get(concept)
        if known is None:
            known = self._rarities[concept] = self._rarity(concept)
        return known

    def _rarity(self, concept: Concept) -> float:
        if len(concept) == len(concept[0]) == 1:
            number = self.number(concept[0][0])
            return self._index.rarest if number is None else float(self._index.rarity[number])
        owners = self._index.positions.owners(self.spans(concept))
        articles = np.count_nonzero(np.diff(owners, prepend=-1))
        return float(rarity(len(self._index.articles), np.array(articles)))

    def _weigh_stem(self, stem: str, title: float) -> tuple[npt.NDArray[np.intp], Reals]:
        number = self.number(stem)
        total = np.zeros(len(self._index.articles), dtype=np.float32)
        if number is None:
            return np.empty(0, np.intp), np.empty(0, np.float32)
        articles, weights = self._index.text.of_term(number)
        total[articles] = weights * self._index.rarity[number]
        among, extra = self._index.title.of_term(number)
        total[among] += extra * (title * self._index.title_rarity[number])
        return articles.astype(np.intp), total[articles]

    def _having(self, spans: Spans) -> Mask:
        having = np.zeros(len(self._index.articles), dtype=np.bool_)
        having[self._index.positions.owners(spans)] = True
        return having

    def _loose(self, concept: Concept) -> Spans:
        found = self.spans(concept)
        for reading in concept:
            if len(reading) > 1:
                found = found | together([self._of_stem(stem) for stem in dict.fromkeys(reading)])
        return found

    def _of_stem(self, stem: str) -> Spans:
        number = self.number(stem)
        return NOWHERE if number is None else self._index.positions.of_term(number)

    def number(self, stem: str) -> int | None:
        """Return the number of a stem in the window; None if no article contains it."""
        if stem not in self._numbers:
            self._numbers[stem] = self._index.number(np.uint32(term(stem)))
        return self._numbers[stem]

    def _split(self, words: Sequence[Word]) -> Iterator[Concept]:
        place = 0
        while place < len(words):
            size, concept = self._longest_at(words[place : place + _LONGEST_FORM])
            yield concept
            place += size

    def _longest_at(self, words: Sequence[Word]) -> tuple[int, Concept]:
        """Return the longest concept at the start of these words, and its number of words."""
        acronyms = self._index.acronyms
        stems = tuple(word.stem for word in words)
        for size in range(len(stems), 1, -1):
            if short := acronyms.short_form(stems[:size]):
                return size, ((short,), stems[:size])
        first = words[0]
        long = acronyms.long_form(first.stem, at_least=1 if first.is_capital else _FEWEST_DEFINITIONS)
        if long:
            return 1, ((acronyms.short_form(long) or first.stem,), long, *self._own(first, acronyms.short_form(long)))
        if first.plain != first.stem and self.number(first.plain) is not None:
            return 1, ((first.stem,), (first.plain,))
        return 1, ((first.stem,),)

    def _own(self, word: Word, short: str | None) -> Iterable[tuple[str, ...]]:
        return () if short in (None, word.stem) else ((word.stem,),)
