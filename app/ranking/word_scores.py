"""How well articles fit what a reader asks for in words: BM25 over concepts."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from app.ranking.concepts import Concept, Concepts, Mask
from app.ranking.counts import Reals
from app.ranking.index import Index, shared
from app.ranking.interest_query import GOALS_WEIGHT, TITLE_WEIGHT, InterestQuery, Phrase

_TITLE: Final = 0.1
# What has an acronym and a long form counts for the words of that, and a little for being said as a whole: who asks
# for LLMs also cares for language models. A bonus for phrases that are together was measured: it costs quality.
_WHOLE: Final = 0.4
_PART: Final = 0.6

# So many articles, the best by words, are examples; being like them counts so much.
_EXAMPLES: Final = 10
_ALIKE: Final = 0.9
_USUAL: Final = 0.18

Weights = defaultdict[Concept, float]


class WordScores:
    """BM25 of a window's articles for a reader's words, divided by what the reader's longest text can reach.

    `full` says for each interest which articles have it in full: all its words close to each other. `parts` are its
    concepts, `having` which articles have each of them.
    """

    def __init__(self, index: Index, query: InterestQuery) -> None:
        self._index = index
        self.concepts = Concepts(index)
        self.parts = [tuple(dict.fromkeys(self.concepts.of(phrase))) for phrase in query.interests]
        self.full: list[Mask] = [self.concepts.full(parts) for parts in self.parts]
        self.weights = self._weights(query)
        self.strength = self._strength(query)

    def expanded(self) -> Reals:
        """Return the strength, and more for what is like the articles that are best by it.

        Blind feedback: those use words that the reader did not think of. What nothing fits well is a poor example.
        """
        best = np.argsort(-self.strength, kind="stable")[:_EXAMPLES]
        best = best[self.strength[best] > 0]
        if not len(best):
            return self.strength
        weights = self.strength[best] / self.strength[best].sum()
        direction = self._index.total(best, weights)
        length = np.float32(max(float(np.linalg.norm(direction)), 1e-9))
        alike = self._index.cosines(direction / length)
        # No article is an example for itself.
        alike[best] -= weights / length
        alike -= shared(alike, len(alike), _USUAL)
        return self.strength + np.float32(_ALIKE * min(1.0, float(self.strength[best].mean()))) * alike

    def having(self, interest: int) -> list[tuple[Concept, Mask]]:
        """Return the concepts of an interest, each with the articles that have it."""
        return [(concept, self.concepts.any(concept)) for concept in self.parts[interest]]

    def excluded(self, phrases: Sequence[Phrase]) -> Mask:
        """Return which articles have one of these phrases to the letter, in any spelling."""
        found = np.zeros(len(self._index.articles), dtype=np.bool_)
        for phrase in phrases:
            found |= self.concepts.literal(self.concepts.of(phrase))
        return found

    def _weights(self, query: InterestQuery) -> Weights:
        """What is asked for by ten interests weighs more than by one, and not ten times as much."""
        counts = Counter(concept for phrase in query.interests for concept in set(self.concepts.of(phrase)))
        total: Weights = defaultdict(float, {concept: math.log1p(count) for concept, count in counts.items()})
        # Goals are sentences, in which an acronym stands beside its long form as often as not: their words count.
        for phrases, weight in ((query.goals, GOALS_WEIGHT), (query.title, TITLE_WEIGHT)):
            for stem, count in Counter(stem for phrase in phrases for stem in phrase.stems).items():
                total[((stem,),)] += weight * math.log1p(count)
        return total

    def _strength(self, query: InterestQuery) -> Reals:
        total = np.zeros(len(self._index.articles), dtype=np.float32)
        for concept, weight in self.weights.items():
            for part, share in _shares(concept):
                articles, worth = self.concepts.weigh(part, _TITLE)
                total[articles] += weight * share * worth
        return total / np.float32(self._whole(query))

    def _whole(self, query: InterestQuery) -> float:
        """The length of the longest text, by the rarity of what it asks for."""
        rarities = {
            concept: weight * max(share * self.concepts.rarity(part) for part, share in _shares(concept))
            for concept, weight in self.weights.items()
        }
        interests: list[set[Concept]] = [set(self.concepts.of(phrase)) for phrase in query.interests]
        others: list[set[Concept]] = [{((stem,),) for stem in phrase.stems} for phrase in (*query.goals, *query.title)]
        lengths = [math.sqrt(sum(rarities[each] ** 2 for each in text)) for text in (*interests, *others)]
        return max(lengths, default=1.0) or 1.0


def _shares(concept: Concept) -> Iterator[tuple[Concept, float]]:
    words = dict.fromkeys(stem for reading in concept for stem in reading if len(reading) > 1)
    yield concept, _WHOLE if words else 1.0
    for stem in words:
        yield ((stem,),), _PART
