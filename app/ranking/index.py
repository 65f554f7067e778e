"""An index of the articles of one or several days. Scoring them for a reader then takes a few sparse products."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from functools import reduce
from itertools import accumulate
from operator import add
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from app.models.articles import Article, ArticleKind
from app.ranking.acronyms import Acronyms
from app.ranking.common_words import common_words
from app.ranking.counts import Counts, Numbers, Reals, Rows, Terms
from app.ranking.fields import FEWEST, Field, rarity
from app.ranking.positions import Positions, Spans
from app.ranking.sparse import Entries, add_pairs, sums

_LOW_BITS: Final = 16
_COMMON: Final = 320
_SAMPLE: Final = 160
# Hostile texts could contain many words with the same first bits. Then a binary search is faster.
_DEEPEST: Final = 16
_COMMON_TO_ALL: Final = 0.9
_FEW_ARTICLES: Final = 100
# Below 1, rare words dominate the similarity of two texts less. Measured: better in large windows.
_IDF_POWER: Final = 0.85
# The document frequency of a common word in titles, relative to that in whole texts.
_IN_TITLE: Final = 0.2
CROSS_LISTED: Final = 0.5
"""The weight of a category that is not an article's first."""


class Index:
    """The articles of a window of days, with the document frequencies of the whole window.

    `articles` are numbered across the days. `rows` and `weights` are their tf-idf vectors of length 1, by article.
    """

    def __init__(self, days: Sequence[Counts], newest: date, terms: Terms, places: Sequence[Numbers]) -> None:
        """Use `Index.of`."""
        self.days = tuple(days)
        self.newest = newest
        self.articles: tuple[Article, ...] = tuple(article for day in days for article in day.articles)
        self.terms = terms
        self.rows = _joined([day.text for day in days], places)
        self._places = places
        self.offsets = list(accumulate((len(day.articles) for day in days), initial=0))
        self.is_paper = np.array([article.kind is ArticleKind.PAPER for article in self.articles], dtype=np.bool_)
        self.sections = _sections(self.articles)

    @classmethod
    async def of(cls, days: Sequence[Counts], newest: date) -> Self:
        """Combine days, the last of which is `newest`. Yields to the event loop between the steps."""
        terms: Terms = days[0].terms if len(days) == 1 else np.unique(np.concatenate([day.terms for day in days]))
        await asyncio.sleep(0)
        index = cls(days, newest, terms, [np.searchsorted(terms, day.terms).astype(np.int32) for day in days])
        await asyncio.sleep(0)
        index.text = Field.of(index.rows, len(terms))
        await asyncio.sleep(0)
        title = _joined([day.title for day in days], index._places)
        index.title = Field.of(title, len(terms))
        index.title_ends = np.concatenate([day.title_ends for day in days])
        await asyncio.sleep(0)
        index.positions = Positions.of([day.order for day in days], index._places, len(terms))
        await asyncio.sleep(0)
        index.acronyms = Acronyms(reduce(add, (Counter(day.definitions) for day in days), Counter()))
        await asyncio.sleep(0)
        index._weigh()
        await asyncio.sleep(0)
        index._split_common_terms()
        await asyncio.sleep(0)
        index.sample = np.unique(np.linspace(0, max(len(index.articles) - 1, 0), _SAMPLE).astype(np.intp))
        index.sample = index.sample[: len(index.articles)]
        index.sample_cosines = index.pairwise_cosines(index.sample)
        return index

    text: Field
    title: Field
    title_ends: npt.NDArray[np.uint16]
    positions: Positions
    acronyms: Acronyms
    weights: Reals
    sample: npt.NDArray[np.intp]
    """A sample of the window: evenly spaced articles."""
    sample_cosines: Reals

    def _weigh(self) -> None:
        self.frequency = self.text.frequency()
        count = max(len(self.articles), FEWEST)
        usual = self._missing_frequency(count - len(self.articles))
        self.rarity = rarity(len(self.articles), self.frequency + usual)
        self.title_rarity = rarity(len(self.articles), self.title.frequency() + usual * _IN_TITLE)
        self._smooth = ((np.log((1 + count) / (1 + self.frequency + usual)) + 1) ** _IDF_POWER).astype(np.float32)
        self._rarest = float((np.log(1 + count) + 1) ** _IDF_POWER)
        self.rarest = float(rarity(count, np.array(0)))
        bounds = np.searchsorted(self.terms, np.arange(2**_LOW_BITS, dtype=np.uint32) << _LOW_BITS)
        self._buckets = bounds.astype(np.int32)
        self._deepest = int(np.diff(bounds, append=len(self.terms)).max()) + 1
        raw = (1 + np.log(self.rows.counts)) * self._smooth[self.rows.terms]
        lengths = np.sqrt(sums(self.rows.starts, raw * raw))
        self.weights = (raw / np.repeat(np.maximum(lengths, 1e-9), np.diff(self.rows.starts))).astype(np.float32)

    def _missing_frequency(self, missing: int) -> Reals:
        """Estimate how many of the `missing` articles of a small day would contain each term."""
        usual = np.zeros(len(self.terms), dtype=np.float32)
        terms, shares = common_words()
        places = np.searchsorted(self.terms, terms)
        places[places == len(self.terms)] = 0
        if missing > 0 and len(self.terms):
            known = self.terms[places] == terms
            usual[places[known]] = shares[known] * missing
        return usual

    def _split_common_terms(self) -> None:
        """Store the most common terms as a small dense matrix: a few terms are most of what articles share."""
        commonest = np.sort(np.argsort(-self.frequency, kind="stable")[:_COMMON])
        self._commonest = commonest
        self.columns = np.full(len(self.terms), -1, dtype=np.int32)
        self.columns[commonest] = np.arange(len(commonest), dtype=np.int32)
        owner = np.repeat(np.arange(len(self.articles), dtype=np.int32), np.diff(self.rows.starts))
        columns = self.columns[self.rows.terms]
        common, rare = columns >= 0, columns < 0
        self.common = np.zeros((len(self.articles), len(commonest)), dtype=np.float32)
        self.common[owner[common], columns[common]] = self.weights[common]
        starts = np.zeros(len(self.articles) + 1, dtype=np.int32)
        np.cumsum(np.bincount(owner[rare], minlength=len(self.articles)), out=starts[1:])
        self.rare = Entries(starts, self.rows.terms[rare], self.weights[rare])

    def find(self, terms: Terms) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        """Return the number of each term, and whether the window has it: if not, the number is invalid.

        Terms are hashes, spread evenly: a table of their first sixteen bits leaves only a few terms to compare.
        """
        last = len(self.terms) - 1
        if last < 0:
            return np.zeros(len(terms), dtype=np.int32), np.zeros(len(terms), dtype=np.bool_)
        if self._deepest > _DEEPEST:
            numbers = np.minimum(np.searchsorted(self.terms, terms), last).astype(np.int32)
            return numbers, self.terms[numbers] == terms
        numbers = np.minimum(self._buckets[terms >> _LOW_BITS], last)
        for _ in range(self._deepest - 1):
            numbers += (self.terms[numbers] < terms) & (numbers < last)
        return numbers, self.terms[numbers] == terms

    def number(self, wanted: np.uint32) -> int | None:
        """Return the number of one term; None if the window does not have it."""
        place = int(np.searchsorted(self.terms, wanted))
        return place if place < len(self.terms) and self.terms[place] == wanted else None

    def weigh(self, numbers: Numbers, known: npt.NDArray[np.bool_]) -> Reals:
        """Return tf-idf's idf of each term of a `find` result; the highest for terms that no article contains."""
        found = np.full(len(numbers), self._rarest, dtype=np.float32)
        found[known] = self._smooth[numbers[known]]
        return found

    def in_title(self, spans: Spans, owners: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Whether each span is in the title of its article (`owners`)."""
        ends: npt.NDArray[np.bool_] = spans.ends - self.positions.articles[owners] <= self.title_ends[owners]
        return ends

    def cosines(self, direction: Reals) -> Reals:
        """Return the dot product of each article with a vector over all terms."""
        common = self.common @ direction[self._commonest]
        return common + sums(self.rare.starts, self.rare.weights * direction[self.rare.terms])

    def total(self, articles: npt.NDArray[np.intp], factors: Reals) -> Reals:
        """Return the weighted sum of the articles' vectors, over all terms."""
        row, terms, weights = self.rare.of(articles)
        total = np.bincount(terms, weights * factors[row], len(self.terms)).astype(np.float32)
        total[self._commonest] += factors @ self.common[articles]
        return total

    def pairwise_cosines(self, articles: Sequence[int] | npt.NDArray[np.intp]) -> Reals:
        """Return the cosine of each pair of a few articles."""
        numbers = np.array(articles, dtype=np.intp)
        common, rare = self.common[numbers], self.rare.of(numbers)
        alike: Reals = common @ common.T
        add_pairs(alike, rare, rare)
        return alike

    def by(self, followed: Sequence[str]) -> dict[int, str]:
        """Return the articles by the `followed` people, each with the author's name as printed in the article."""
        found: dict[int, str] = {}
        for offset, day in zip(self.offsets, self.days, strict=False):
            found |= {offset + number: name for number, name in day.bylines.by(followed, day.articles).items()}
        return found

    def word(self, number: int) -> str:
        """Return a word for the term, as an article writes it."""
        if len(self.days) == 1:
            return self.days[0].words[number]
        wanted = self.terms[number]
        for day in self.days:
            place = int(np.searchsorted(day.terms, wanted))
            if place < len(day.terms) and day.terms[place] == wanted:
                return day.words[place]
        raise LookupError(f"the window has no term {number}")


def common_similarity(values: Reals, articles: int, usual: float) -> np.float32:
    """Return the part of similarities that all papers share: their 90th percentile.

    For a window of few articles it is not reliable, and is mixed with the `usual` value.
    """
    trust = articles / (articles + _FEW_ARTICLES)
    # Interpolation is not needed, and numpy's quantile takes ten times as long.
    place = int(_COMMON_TO_ALL * (len(values) - 1))
    return np.float32(trust * float(np.partition(values, place)[place]) + (1 - trust) * usual)


Section = tuple[tuple[npt.NDArray[np.intp], float], ...]


def _sections(articles: Sequence[Article]) -> dict[str, Section]:
    """Map each category and archive to its cross-listed articles and those of which it is the first category."""
    first: defaultdict[str, list[int]] = defaultdict(list)
    crossed: defaultdict[str, list[int]] = defaultdict(list)
    for number, article in enumerate(articles):
        for position, category in enumerate(article.categories):
            for name in {category, category.partition(".")[0]}:
                (crossed if position else first)[name].append(number)
    return {
        name: ((np.array(crossed[name], dtype=np.intp), CROSS_LISTED), (np.array(first[name], dtype=np.intp), 1.0))
        for name in {*first, *crossed}
    }


def _joined(rows: Sequence[Rows], places: Sequence[Numbers]) -> Rows:
    """Concatenate days, with the term numbers of the window."""
    sizes = accumulate((len(each.terms) for each in rows), initial=0)
    starts = [each.starts[:-1] + size for each, size in zip(rows, sizes, strict=False)]
    total = np.array([sum(len(each.terms) for each in rows)], dtype=np.int32)
    return Rows(
        np.concatenate([*starts, total]).astype(np.int32),
        np.concatenate([place[each.terms] for place, each in zip(places, rows, strict=True)]),
        np.concatenate([each.counts for each in rows]),
    )
