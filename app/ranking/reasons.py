"""Why an article was chosen, in words that its reader can check and act on."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from app.models import Article, Profile, Reason, ReasonKind
from app.ranking.choice import Choice
from app.ranking.counts import Numbers, Reals
from app.ranking.index import Index
from app.ranking.scores import Scores
from app.ranking.taste import FeedbackModel
from app.ranking.wish import InterestQuery
from app.sources.text import shorten

_MOST_NAMED: Final = 3
_CLOSE: Final = 0.5
# The cosine from which two papers are of one subject.
_SIMILAR: Final = 0.15
_LONGEST_TITLE: Final = 80
_INTERESTS: Final = "edit your interests"


class Reasons:
    """Finds the reasons for chosen articles; `interests` are those that an article names in full."""

    def __init__(
        self, index: Index, scores: Scores, choice: Choice, profile: Profile, wish: InterestQuery, taste: FeedbackModel
    ) -> None:
        self._titles = taste.liked.titles
        self._index = index
        self._scores = scores
        self._choice = choice
        self._categories = frozenset(profile.categories)
        self._wish = wish
        numbers, known = index.find(wish.terms)
        self._wanted = self._spread(numbers[known], wish.weights[known])

    def interests(self, number: int) -> tuple[str, ...]:
        """Return the interests of which the article has all words, as the reader wrote them."""
        pairs = zip(self._wish.interests, self._choice.met, strict=True)
        return tuple(phrase.text for phrase, met in pairs if met[number])[:_MOST_NAMED]

    def of(self, number: int) -> tuple[Reason, ...]:
        """Return what spoke for an article, the most telling first; there is always something."""
        found = [*self._author(number), *self._liked(number), *self._words(number), *self._category(number)]
        return tuple(found) or (
            Reason(
                kind=ReasonKind.NEWEST,
                text="one of the newest: your profile names nothing to look for",
                change="add interests or papers that you like",
            ),
        )

    def _spread(self, numbers: Numbers, values: Reals) -> Reals:
        worth = np.zeros(len(self._index.terms), dtype=np.float32)
        worth[numbers] = values
        return worth

    def _author(self, number: int) -> Iterator[Reason]:
        if author := self._choice.followed.get(number):
            yield Reason(
                kind=ReasonKind.AUTHOR,
                text=f"a new paper by {shorten(author, _LONGEST_TITLE)}, whom you follow",
                change="edit the authors that you follow",
            )

    def _liked(self, number: int) -> Iterator[Reason]:
        liked, candidates = self._scores.liked, self._scores.candidates
        row = int(np.searchsorted(candidates, number))
        if row == len(candidates) or candidates[row] != number:
            return
        best = int(self._scores.similar[row].argmax())
        if self._scores.similar[row, best] >= _SIMILAR:
            of_paper = slice(*np.searchsorted(liked.owner, [best, best + 1]))
            yield Reason(
                kind=ReasonKind.LIKED,
                text=f"close to \N{LEFT DOUBLE QUOTATION MARK}{shorten(self._titles[best], _LONGEST_TITLE)}"
                "\N{RIGHT DOUBLE QUOTATION MARK}, which you liked",
                words=self._telling(number, self._spread(liked.numbers[of_paper], liked.values[of_paper])),
                change="take that paper from those that you like",
            )

    def _words(self, number: int) -> Iterator[Reason]:
        words = self._telling(number, self._wanted)
        shares = [part[number] / size for part, size in zip(self._choice.parts, self._choice.sizes, strict=True)]
        names = [phrase.text for phrase in self._wish.interests]
        close = [name for name, share in zip(names, shares, strict=True) if share >= _CLOSE][:_MOST_NAMED]
        if matched := self.interests(number):
            yield Reason(
                kind=ReasonKind.INTEREST, text=f"matches: {', '.join(matched)}", words=words, change=_INTERESTS
            )
        elif close:
            yield Reason(
                kind=ReasonKind.WORDS, text=f"partly matches: {', '.join(close)}", words=words, change=_INTERESTS
            )
        elif words:
            text = f"shares words with your profile: {', '.join(words)}"
            yield Reason(kind=ReasonKind.WORDS, text=text, words=words, change="edit your interests and goals")

    def _category(self, number: int) -> Iterator[Reason]:
        if category := _wanted_category(self._index.articles[number], self._categories):
            yield Reason(kind=ReasonKind.CATEGORY, text=f"category {category}", change="edit your categories")

    def _telling(self, number: int, worth: Reals) -> tuple[str, ...]:
        """The words that count most for the article, by what each term of the window is worth."""
        part = self._index.rows.of(number)
        terms = self._index.rows.terms[part]
        shared = worth[terms] * self._index.weights[part]
        best = np.argsort(-shared, kind="stable")[:_MOST_NAMED]
        return tuple(self._index.word(int(terms[each])) for each in best if shared[each] > 0)


def _wanted_category(article: Article, wanted: frozenset[str]) -> str | None:
    """The article's first category that is wanted, itself or by its archive."""
    named = (name for name in article.categories if name in wanted or name.partition(".")[0] in wanted)
    return next(named, None)
