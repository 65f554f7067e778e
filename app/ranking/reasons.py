"""The reasons for which an article was selected, in words that its reader can check and act on."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from app.models.articles import Article
from app.models.digests import Reason, ReasonKind
from app.models.profiles import Profile
from app.ranking.concepts import Concept, Mask
from app.ranking.counts import Reals
from app.ranking.feedback_model import FeedbackModel
from app.ranking.index import Index
from app.ranking.interest_query import InterestQuery
from app.ranking.scores import Scores
from app.ranking.selection import Pick
from app.sources.text import shorten

_MOST_NAMED: Final = 3
# An article matches an interest partly if it contains this share of it, weighted by idf: a common word is not enough.
_PART: Final = 0.6
# Two papers with at least this cosine are about the same subject.
_SIMILAR: Final = 0.15
_LONGEST_TITLE: Final = 80
_INTERESTS: Final = "edit your interests"


class Reasons:
    """Finds the reasons for selected articles."""

    def __init__(
        self,
        index: Index,
        scores: Scores,
        profile: Profile,
        query: InterestQuery,
        model: FeedbackModel,
    ) -> None:
        self._titles = model.liked.titles
        self._index = index
        self._scores = scores
        self._categories = frozenset(profile.categories)
        self._query = query
        self._has_query = bool(query.whole or self._titles or profile.categories or profile.authors)
        self._wanted = self._query_weights()
        self._having = [scores.words.having(place) for place in range(len(query.interests))]
        self._shares = [self._share(pairs) for pairs in self._having]
        self._terms: dict[int, frozenset[int]] = {}

    def interests(self, number: int) -> tuple[str, ...]:
        """Return the interests that the article contains in full, as the reader wrote them."""
        pairs = zip(self._query.interests, self._scores.words.full, strict=True)
        return tuple(phrase.text for phrase, full in pairs if full[number])[:_MOST_NAMED]

    def of(self, pick: Pick) -> tuple[Reason, ...]:
        """Return the reasons for an article, the strongest first; at least one."""
        number = pick.number
        found = [*_author(pick), *self._liked(number), *self._words(number), *self._category(number)]
        return (*(found or self._fallback(number)), *self._place(pick))

    def _liked(self, number: int) -> Iterator[Reason]:
        feedback = self._scores.feedback
        if feedback is None:
            return
        row = int(np.searchsorted(feedback.candidates, number))
        if row == len(feedback.candidates) or feedback.candidates[row] != number:
            return
        best = int(feedback.similar[row].argmax())
        if feedback.similar[row, best] >= _SIMILAR:
            liked = self._scores.liked
            of_paper = slice(*np.searchsorted(liked.owner, [best, best + 1]))
            worth = np.zeros(len(self._index.terms), dtype=np.float32)
            worth[liked.numbers[of_paper]] = liked.values[of_paper]
            yield Reason(
                kind=ReasonKind.LIKED,
                text=f"close to {_quoted(self._titles[best])}, which you liked",
                words=self._top_words(number, worth),
                change="undo your feedback on that paper",
            )

    def _words(self, number: int) -> Iterator[Reason]:
        if matched := self.interests(number):
            yield Reason(
                kind=ReasonKind.INTEREST,
                text=f"matches: {', '.join(matched)}",
                words=self._of_interests(number, matched),
                change=_INTERESTS,
            )
            return
        places = [place for place, share in enumerate(self._shares) if share[number] >= _PART]
        parts = [self._partial_match(number, place) for place in places[:_MOST_NAMED]]
        words = self._top_words(number, self._wanted)
        if parts:
            text = f"partly matches: {'; '.join(parts)}"
            yield Reason(kind=ReasonKind.WORDS, text=text, words=words, change=_INTERESTS)
        elif words:
            text = f"shares words with your profile: {', '.join(words)}"
            yield Reason(kind=ReasonKind.WORDS, text=text, words=words, change="edit your interests and goals")

    def _share(self, pairs: Sequence[tuple[Concept, Mask]]) -> Reals:
        """Return how much of an interest each article contains, weighted by the rarity of its concepts."""
        rarities = [self._scores.words.concepts.rarity(concept) for concept, _ in pairs]
        share = np.zeros(len(self._index.articles), dtype=np.float32)
        for rarity, (_, mask) in zip(rarities, pairs, strict=True):
            share[mask] += rarity
        return share / np.float32(max(sum(rarities), 1e-9))

    def _partial_match(self, number: int, place: int) -> str:
        """Describe the part of an interest that the article contains."""
        pairs = self._having[place]
        has = [bool(mask[number]) for _, mask in pairs]
        words = [self._written(number, concept) for (concept, _), one in zip(pairs, has, strict=True) if one]
        where = ", not together" if all(has) else ""
        return f"{self._query.interests[place].text} (has {' and '.join(words)}{where})"

    def _of_interests(self, number: int, matched: Sequence[str]) -> tuple[str, ...]:
        concepts = [
            concept
            for phrase, pairs in zip(self._query.interests, self._having, strict=True)
            if phrase.text in matched
            for concept, _ in pairs
        ]
        return tuple(dict.fromkeys(self._written(number, concept) for concept in concepts))[: 2 * _MOST_NAMED]

    def _category(self, number: int) -> Iterator[Reason]:
        if category := _wanted_category(self._index.articles[number], self._categories):
            yield Reason(kind=ReasonKind.CATEGORY, text=f"category {category}", change="edit your categories")

    def _fallback(self, number: int) -> list[Reason]:
        """Give the reason for an article that no single paper, interest or category explains."""
        feedback = self._scores.feedback
        words = self._top_words(number, feedback.direction) if feedback else ()
        if words:
            text = f"like the papers that you liked, taken together: {', '.join(words)}"
            return [Reason(kind=ReasonKind.LIKED, text=text, words=words, change="edit the papers that you like")]
        if self._has_query:
            text = "one of the newest: it matches nothing in your profile"
            return [Reason(kind=ReasonKind.NEWEST, text=text, change="add interests or papers that you like")]
        return [
            Reason(
                kind=ReasonKind.NEWEST,
                text="one of the newest: your profile is empty",
                change="add interests or papers that you like",
            )
        ]

    def _place(self, pick: Pick) -> Iterator[Reason]:
        """Give the reason for a place that the article's score alone does not explain."""
        if pick.interest is not None:
            text = f"the best match of the day for {_quoted(self._query.interests[pick.interest].text)}"
            yield Reason(kind=ReasonKind.VARIETY, text=text, change=_INTERESTS)
        elif pick.varied:
            text = "for variety: items with a higher score are too similar to others here"
            yield Reason(kind=ReasonKind.VARIETY, text=text, change=_INTERESTS)

    def _query_weights(self) -> Reals:
        worth = np.zeros(len(self._index.terms), dtype=np.float32)
        for concept, weight in self._scores.words.weights.items():
            for stem in {stem for reading in concept for stem in reading}:
                number = self._scores.words.concepts.number(stem)
                if number is not None:
                    worth[number] += weight
        return worth

    def _top_words(self, number: int, worth: Reals) -> tuple[str, ...]:
        """Return the words that contribute most to the article's score, by the weight of each term of the window."""
        part = self._index.rows.of(number)
        terms = self._index.rows.terms[part]
        shared = worth[terms] * self._index.weights[part]
        best = np.argsort(-shared, kind="stable")[:_MOST_NAMED]
        return tuple(self._index.word(int(terms[each])) for each in best if shared[each] > 0)

    def _written(self, number: int, concept: Concept) -> str:
        """Return a concept in the article's form: the acronym or the long form."""
        having = self._terms.get(number)
        if having is None:
            having = self._terms[number] = frozenset(self._index.rows.terms[self._index.rows.of(number)].tolist())
        for reading in concept:
            numbers = [self._scores.words.concepts.number(stem) for stem in reading]
            if having.issuperset(numbers):
                return " ".join(self._index.word(each) for each in numbers if each is not None)
        return " ".join(concept[-1])


def _author(pick: Pick) -> Iterator[Reason]:
    if pick.author:
        yield Reason(
            kind=ReasonKind.AUTHOR,
            text=f"a new paper by {shorten(pick.author, _LONGEST_TITLE)}, whom you follow",
            change="edit the authors that you follow",
        )


def _quoted(text: str) -> str:
    return f"\N{LEFT DOUBLE QUOTATION MARK}{shorten(text, _LONGEST_TITLE)}\N{RIGHT DOUBLE QUOTATION MARK}"


def _wanted_category(article: Article, wanted: frozenset[str]) -> str | None:
    """Return the article's first category that is wanted, either itself or its archive."""
    named = (name for name in article.categories if name in wanted or name.partition(".")[0] in wanted)
    return next(named, None)
