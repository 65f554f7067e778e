"""How well each article fits a profile, from 0 to 1, and why, in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.digest.profile_terms import ProfileTerms
from app.models import Article, Profile

if TYPE_CHECKING:
    from app.digest.bm25 import TermScores

_GOALS_WEIGHT: Final = 0.25
_TITLE_WEIGHT: Final = 0.15
# A category alone says less than a weak match of words, and makes a strong match stronger.
_CATEGORY_FACTOR: Final = 0.25
_CATEGORY_ALONE: Final = 0.02
_CROSS_LISTED: Final = 0.5
_MOST_REASONS: Final = 3
_CLOSE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Fit:
    """How an article fits: `score` from 0 to 1 relative to the best, `interests` those it matches, best first."""

    score: float
    reason: str
    interests: tuple[str, ...]


class Scoring:
    """Scores articles of one kind; the reasons are found for those alone that are asked for.

    An interest counts by the BM25 of its words, times the square of the part of them that the text contains: of
    "graph neural networks", "network" alone is worth little. Goals and title count by their words, much less.
    """

    def __init__(self, articles: Sequence[Article], profile: Profile, terms: ProfileTerms, found: "TermScores") -> None:
        self._names = [name for name, _ in terms.interests]
        self._covered = [found.covered(stems) for _, stems in terms.interests]
        totals = [found.total(stems) for _, stems in terms.interests]
        self._strengths = [total * part**2 for total, part in zip(totals, self._covered, strict=True)]
        self._words = _GOALS_WEIGHT * found.total(terms.goals) + _TITLE_WEIGHT * found.total(terms.title)
        self._words = sum(self._strengths, start=self._words)
        self._categories = [_category(article, frozenset(profile.categories)) for article in articles]
        self.scores = self._relative()

    def fit(self, number: int) -> Fit:
        """Say how the article with this number fits."""
        strengths = [
            (float(strength[number]), float(covered[number]), name)
            for strength, covered, name in zip(self._strengths, self._covered, self._names, strict=True)
            if strength[number] > 0
        ]
        matched, close = _interests(strengths)
        category, _ = self._categories[number]
        reason = _reason(matched, close, category, matches_words=bool(self._words[number] > 0))
        return Fit(self.scores[number], reason, matched)

    def _relative(self) -> list[float]:
        best = float(self._words.max(initial=0.0)) or 1.0
        scores = [
            words / best * (1 + _CATEGORY_FACTOR * weight) + _CATEGORY_ALONE * weight
            for words, (_, weight) in zip(self._words.tolist(), self._categories, strict=True)
        ]
        top = max(scores, default=0.0) or 1.0
        return [round(score / top, 4) for score in scores]


def _interests(strengths: list[tuple[float, float, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The interests whose words are all there, and those of which at least half are; each strongest first."""
    strengths.sort(reverse=True)
    matched = [name for _, covered, name in strengths if covered == 1]
    close = [name for _, covered, name in strengths if _CLOSE <= covered < 1]
    return tuple(matched[:_MOST_REASONS]), tuple(close[:_MOST_REASONS])


def _category(article: Article, wanted: frozenset[str]) -> tuple[str | None, float]:
    """The article's first category that is wanted, itself or by its archive, and what that is worth."""
    for position, category in enumerate(article.categories):
        if category in wanted or category.partition(".")[0] in wanted:
            return category, 1.0 if position == 0 else _CROSS_LISTED
    return None, 0.0


def _reason(matched: Sequence[str], close: Sequence[str], category: str | None, *, matches_words: bool) -> str:
    def parts() -> Iterator[str]:
        if matched:
            yield f"matches: {', '.join(matched)}"
        elif close:
            yield f"close to: {', '.join(close)}"
        elif matches_words:
            yield "shares words with your interests and goals"
        if category:
            yield f"category {category}"

    return "; ".join(parts()) or "no match with the profile; one of the newest"
