"""Why an article was chosen, in words that its reader can check and act on."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from app.models import Article, Profile, Reason, ReasonKind
from app.ranking.choice import Choice
from app.ranking.counts import Numbers, Reals
from app.ranking.index import Index
from app.ranking.scores import Scores
from app.ranking.wish import Wish
from app.sources.text import shorten

_MOST_NAMED: Final = 3
_CLOSE: Final = 0.5
# The cosine from which two papers are of one subject.
_SIMILAR: Final = 0.15
_LONGEST_TITLE: Final = 80
_INTERESTS: Final = "edit your interests"


class Reasons:
    """Finds the reasons for chosen articles; `interests` are those that an article names in full."""

    def __init__(self, index: Index, scores: Scores, choice: Choice, profile: Profile, wish: Wish) -> None:
        self._index = index
        self._scores = scores
        self._choice = choice
        self._categories = frozenset(profile.categories)
        self._wish = wish
        self._wanted, self._known = index.find(wish.terms)

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

    def _author(self, number: int) -> Iterator[Reason]:
        if author := self._choice.followed.get(number):
            yield Reason(
                kind=ReasonKind.AUTHOR,
                text=f"a new paper by {shorten(author, _LONGEST_TITLE)}, whom you follow",
                change="edit the authors that you follow",
            )

    def _liked(self, number: int) -> Iterator[Reason]:
        liked = self._scores.liked
        row = int(np.searchsorted(self._scores.candidates, number))
        if not liked.titles or row == len(self._scores.candidates) or self._scores.candidates[row] != number:
            return
        cosines = self._scores.similar[row] / liked.weights
        best = int(cosines.argmax())
        if cosines[best] >= _SIMILAR:
            of_paper = liked.owner == best
            yield Reason(
                kind=ReasonKind.LIKED,
                text=f"close to \N{LEFT DOUBLE QUOTATION MARK}{shorten(liked.titles[best], _LONGEST_TITLE)}"
                "\N{RIGHT DOUBLE QUOTATION MARK}, which you liked",
                words=self._telling(number, liked.numbers[of_paper], liked.values[of_paper]),
                change="take that paper from those that you like",
            )

    def _words(self, number: int) -> Iterator[Reason]:
        words = self._telling(number, self._wanted[self._known], self._wish.weights[self._known])
        sizes = [len(phrase.terms()) for phrase in self._wish.interests]
        shares = [part[number] / size for part, size in zip(self._choice.parts, sizes, strict=True)]
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

    def _telling(self, number: int, terms: Numbers, weights: Reals) -> tuple[str, ...]:
        """The words of these terms that count most for the article, as articles write them."""
        part = self._index.rows.of(number)
        worth = dict(zip(terms.tolist(), weights.tolist(), strict=True))
        has = zip(self._index.rows.terms[part].tolist(), self._index.weights[part].tolist(), strict=True)
        shared = sorted(((worth[each] * weight, each) for each, weight in has if each in worth), reverse=True)
        return tuple(self._index.word(each) for _, each in shared[:_MOST_NAMED])


def _wanted_category(article: Article, wanted: frozenset[str]) -> str | None:
    """The article's first category that is wanted, itself or by its archive."""
    named = (name for name in article.categories if name in wanted or name.partition(".")[0] in wanted)
    return next(named, None)
