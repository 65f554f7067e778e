"""Scores articles by the words of a profile: BM25 over concepts."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from app.ranking.concepts import Concept, Concepts, Mask
from app.ranking.counts import Reals
from app.ranking.index import Index, common_similarity
from app.ranking.interest_query import GOALS_WEIGHT, TITLE_WEIGHT, InterestQuery, Phrase

_TITLE: Final = 0.1
# A concept with an acronym and a long form counts by the words of the long form, and a little as a whole: a reader
# interested in LLMs also wants language models. A bonus for adjacent words was measured, and lowers the quality.
_WHOLE: Final = 0.4
_PART: Final = 0.6

# The number of best articles that serve as examples, and the weight of the similarity to them.
_EXAMPLES: Final = 10
_ALIKE: Final = 0.9
_USUAL: Final = 0.18

Weights = defaultdict[Concept, float]


class WordScores:
    """BM25 of a window's articles for the words of a profile, divided by the highest score of its longest text.

    `full` has for each interest which articles contain it in full: all its words close to each other. `parts` are its
    concepts, and `having` returns which articles contain each of them.
    """

    def __init__(self, index: Index, query: InterestQuery) -> None:
        self._index = index
        self.concepts = Concepts(index)
        self.parts = [tuple(dict.fromkeys(self.concepts.of(phrase))) for phrase in query.interests]
        self.full: list[Mask] = [self.concepts.full(parts) for parts in self.parts]
        self.weights = self._weights(query)
        self.strength = self._strength(query)

    def expanded(self) -> Reals:
        """Return the strength, raised for articles similar to those with the highest strength.

        This is pseudo-relevance feedback: the best articles use words that the profile lacks. It counts less if the
        best articles match badly.
        """
        best = np.argsort(-self.strength, kind="stable")[:_EXAMPLES]
        best = best[self.strength[best] > 0]
        if not len(best):
            return self.strength
        weights = self.strength[best] / self.strength[best].sum()
        direction = self._index.total(best, weights)
        length = np.float32(max(float(np.linalg.norm(direction)), 1e-9))
        alike = self._index.cosines(direction / length)
        # An article is not an example for itself.
        alike[best] -= weights / length
        alike -= common_similarity(alike, len(alike), _USUAL)
        return self.strength + np.float32(_ALIKE * min(1.0, float(self.strength[best].mean()))) * alike

    def having(self, interest: int) -> list[tuple[Concept, Mask]]:
        """Return the concepts of an interest, each with the articles that contain it."""
        return [(concept, self.concepts.any(concept)) for concept in self.parts[interest]]

    def excluded(self, phrases: Sequence[Phrase]) -> Mask:
        """Return which articles contain one of these phrases literally, in any spelling."""
        found = np.zeros(len(self._index.articles), dtype=np.bool_)
        for phrase in phrases:
            found |= self.concepts.literal(self.concepts.of(phrase))
        return found

    def _weights(self, query: InterestQuery) -> Weights:
        """Return the weight of each concept. It grows with the logarithm of the number of interests that contain it."""
        counts = Counter(concept for phrase in query.interests for concept in set(self.concepts.of(phrase)))
        total: Weights = defaultdict(float, {concept: math.log1p(count) for concept, count in counts.items()})
        # Goals are sentences, which often contain an acronym beside its long form. So their words count singly.
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
        """Return the norm of the longest text, weighted by the idf of its concepts."""
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
