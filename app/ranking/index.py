"""One or several days' articles, weighted and ready to be asked: a reader is then a few sparse products."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from app.models import Article, ArticleKind
from app.ranking.counts import Counts, Numbers, Reals, Rows, Terms

# Lucene's BM25, with the constants of bm25s: measured beside it, others were no better.
_K1: Final = 1.5
_B: Final = 0.75
_LOW_BITS: Final = 16
_COMMON: Final = 512
# On a thinner day a word is as rare as on one of so many articles: of three articles, none can tell what is rare.
_FEWEST: Final = 300
# Somebody could write words that share their first bits; then a binary search is faster.
_DEEPEST: Final = 16
CROSS_LISTED: Final = 0.5
"""What a category is worth that is not an article's first."""


@dataclass(frozen=True, slots=True)
class _Field:
    """BM25 without the rarity of the terms; the articles of term n lie from `starts[n]` to `starts[n + 1]`."""

    starts: Numbers
    articles: Numbers
    weights: Reals

    @classmethod
    def of(cls, rows: Rows, terms: int) -> Self:
        owner = np.repeat(np.arange(len(rows.starts) - 1, dtype=np.int32), np.diff(rows.starts))
        lengths = np.bincount(owner, rows.counts, len(rows.starts) - 1)
        shares = lengths / max(float(lengths.mean()), 1.0) if len(lengths) else lengths
        weights = rows.counts / (rows.counts + _K1 * (1 - _B + _B * shares[owner]))
        order = stable_order(rows.terms)
        starts = np.zeros(terms + 1, dtype=np.int32)
        np.cumsum(np.bincount(rows.terms, minlength=terms), out=starts[1:])
        return cls(starts, owner[order], weights[order].astype(np.float32))

    def frequency(self) -> Numbers:
        """In how many articles each term is."""
        return np.diff(self.starts)


@dataclass(frozen=True, slots=True)
class Entries:
    """Weighted terms by article: those of article n lie from `starts[n]` to `starts[n + 1]`."""

    starts: Numbers
    terms: Numbers
    weights: Reals

    def of(self, articles: npt.NDArray[np.intp]) -> tuple[Numbers, Numbers, Reals]:
        """Return the entries of these articles: the place in `articles`, the term and the weight of each."""
        starts = self.starts[articles]
        sizes = self.starts[articles + 1] - starts
        ends = np.cumsum(sizes)
        row = np.repeat(np.arange(len(articles), dtype=np.int32), sizes)
        entries = np.arange(len(row)) + np.repeat(starts - ends + sizes, sizes)
        return row, self.terms[entries], self.weights[entries]


def _sums(starts: Numbers, values: npt.NDArray[np.floating]) -> Reals:
    """Sum values by the runs that begin at `starts`; the last of these is the end."""
    if not len(values):
        return np.zeros(len(starts) - 1, dtype=np.float32)
    sums = np.add.reduceat(values, np.minimum(starts[:-1], len(values) - 1))
    # reduceat gives an empty run its first element.
    return np.where(np.diff(starts) > 0, sums, 0).astype(np.float32)


def stable_order(numbers: Numbers) -> npt.NDArray[np.intp]:
    """Return what sorts them; by radix, sixteen bits at a time, which is several times faster than comparing."""
    order = np.argsort((numbers & (2**_LOW_BITS - 1)).astype(np.uint16), kind="stable")
    high = (numbers >> _LOW_BITS).astype(np.uint16)
    return order if not high.any() else order[np.argsort(high[order], kind="stable")]


def _rarity(articles: int, frequency: npt.NDArray[np.integer]) -> Reals:
    return np.log1p((articles - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)


class Index:
    """Articles of the days of a window, with the document frequencies of all of it.

    `articles` are numbered through the days. `rows` and `weights` are their tf-idf vectors of length 1, by article.
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
        """Combine days, of which the last is `newest`; the loop has its turn between the steps."""
        terms: Terms = days[0].terms if len(days) == 1 else np.unique(np.concatenate([day.terms for day in days]))
        await asyncio.sleep(0)
        index = cls(days, newest, terms, [np.searchsorted(terms, day.terms).astype(np.int32) for day in days])
        await asyncio.sleep(0)
        index._text = _Field.of(index.rows, len(terms))
        await asyncio.sleep(0)
        title = _joined([day.title for day in days], index._places)
        index._title = _Field.of(title, len(terms))
        await asyncio.sleep(0)
        index._weigh()
        await asyncio.sleep(0)
        index._part()
        return index

    _text: _Field
    _title: _Field
    weights: Reals

    def _weigh(self) -> None:
        self.frequency = self._text.frequency()
        count = max(len(self.articles), _FEWEST)
        self._text_rarity = _rarity(count, self.frequency)
        self._title_rarity = _rarity(count, self._title.frequency())
        self._smooth = (np.log((1 + count) / (1 + self.frequency)) + 1).astype(np.float32)
        self._rarest = float(np.log1p((count + 0.5) / 0.5)), float(np.log(1 + count) + 1)
        bounds = np.searchsorted(self.terms, np.arange(2**_LOW_BITS, dtype=np.uint32) << _LOW_BITS)
        self._buckets = bounds.astype(np.int32)
        self._deepest = int(np.diff(bounds, append=len(self.terms)).max()) + 1
        raw = (1 + np.log(self.rows.counts)) * self._smooth[self.rows.terms]
        lengths = np.sqrt(_sums(self.rows.starts, raw * raw))
        self.weights = (raw / np.repeat(np.maximum(lengths, 1e-9), np.diff(self.rows.starts))).astype(np.float32)

    def _part(self) -> None:
        """Lay the commonest terms apart as a small matrix: they are few, and most of what articles share."""
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
        """Return the number of each term, and whether the window has it; without it the number means nothing.

        Terms are spread evenly, so that their first sixteen bits lead to within a few of them.
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

    def rarities(self, terms: Terms) -> Reals:
        """Return BM25's idf of each term; what no article has is the rarest."""
        numbers, known = self.find(terms)
        found = np.full(len(terms), self._rarest[0], dtype=np.float32)
        found[known] = self._text_rarity[numbers[known]]
        return found

    def weigh(self, numbers: Numbers, known: npt.NDArray[np.bool_]) -> Reals:
        """Return tf-idf's idf of each term that `find` gave; what no article has is the rarest."""
        found = np.full(len(numbers), self._rarest[1], dtype=np.float32)
        found[known] = self._smooth[numbers[known]]
        return found

    def bm25(self, terms: Terms, wanted: Reals, title: float) -> Reals:
        """Return each article's BM25 for the weighted terms, with `title` times that of its title alone."""
        total = np.zeros(len(self.articles), dtype=np.float32)
        numbers, known = self.find(terms)
        fields = ((self._text, self._text_rarity, 1.0), (self._title, self._title_rarity, title))
        for number, weight in zip(numbers[known].tolist(), wanted[known].tolist(), strict=True):
            for field, rarity, factor in fields:
                part = slice(field.starts[number], field.starts[number + 1])
                total[field.articles[part]] += field.weights[part] * (factor * weight * rarity[number])
        return total

    def having(self, terms: Terms) -> npt.NDArray[np.int16]:
        """Return how many of these terms each article has."""
        total = np.zeros(len(self.articles), dtype=np.int16)
        numbers, known = self.find(terms)
        for number in numbers[known].tolist():
            total[self._text.articles[self._text.starts[number] : self._text.starts[number + 1]]] += 1
        return total

    def cosines(self, direction: Reals) -> Reals:
        """Return each article's product with a vector over all terms."""
        common = self.common @ direction[self._commonest]
        return common + _sums(self.rare.starts, self.rare.weights * direction[self.rare.terms])

    def by(self, followed: Sequence[str]) -> dict[int, str]:
        """Return the articles by these people, each with the author's name as it is printed there."""
        found: dict[int, str] = {}
        for offset, day in zip(self.offsets, self.days, strict=False):
            found |= {offset + number: name for number, name in day.bylines.by(followed, day.articles).items()}
        return found

    def word(self, number: int) -> str:
        """Return a word that stands for the term, as articles write it."""
        if len(self.days) == 1:
            return self.days[0].words[number]
        wanted = self.terms[number]
        for day in self.days:
            place = int(np.searchsorted(day.terms, wanted))
            if place < len(day.terms) and day.terms[place] == wanted:
                return day.words[place]
        raise LookupError(f"the window has no term {number}")


Section = tuple[tuple[npt.NDArray[np.intp], float], ...]


def _sections(articles: Sequence[Article]) -> dict[str, Section]:
    """For each category and archive: the articles of which it is the first, and those that are listed there too."""
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
    """Put days one behind the other, their terms numbered as the window's."""
    sizes = accumulate((len(each.terms) for each in rows), initial=0)
    starts = [each.starts[:-1] + size for each, size in zip(rows, sizes, strict=False)]
    total = np.array([sum(len(each.terms) for each in rows)], dtype=np.int32)
    return Rows(
        np.concatenate([*starts, total]).astype(np.int32),
        np.concatenate([place[each.terms] for place, each in zip(places, rows, strict=True)]),
        np.concatenate([each.counts for each in rows]),
    )
