"""A day's articles as counted words: what is the same for every reader, and in every window of days."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.models import Article
from app.ranking.authors import Bylines
from app.ranking.duplicates import SeenBefore, preference
from app.ranking.words import Stems, term, words

CHUNK: Final = 25
"""Articles between two turns of the event loop: some 4 ms of work."""

Numbers = npt.NDArray[np.int32]
Terms = npt.NDArray[np.uint32]
Reals = npt.NDArray[np.float32]
_MOST_COUNTED: Final = 255


@dataclass(frozen=True, slots=True)
class Rows:
    """Sparse counts by article: those of article n lie from `starts[n]` to `starts[n + 1]`."""

    starts: Numbers
    terms: Numbers
    counts: npt.NDArray[np.uint8]

    def of(self, number: int) -> slice:
        """Where the counts of an article lie."""
        return slice(int(self.starts[number]), int(self.starts[number + 1]))


@dataclass(frozen=True, slots=True)
class Counts:
    """A day without its repeats. `terms` is sorted, and a term's place in it is its number in the rows.

    `words` holds for each term a word as the articles write it. Articles lie newest first, and those of one time in
    the order of their names, so that a stable sort by anything leaves ties in that order.
    """

    articles: tuple[Article, ...]
    repeats: int
    terms: Terms
    words: tuple[str, ...]
    text: Rows
    title: Rows
    bylines: Bylines


class _Numbering(dict[str, int]):
    """Numbers words by their terms, from 1 in the order of appearance; 0 is a word that is no term."""

    def __init__(self) -> None:
        super().__init__()
        self._stems = Stems()
        self._numbers: dict[int, int] = {}
        self.written = [""]

    def __missing__(self, word: str) -> int:
        stem = self._stems.of(word)
        number = self._numbers.setdefault(term(stem), len(self.written)) if stem else 0
        if number == len(self.written):
            self.written.append(word)
        self[word] = number
        return number

    def terms(self) -> Terms:
        """The terms in the order of their numbers, from 1."""
        return np.fromiter(self._numbers, dtype=np.uint32, count=len(self._numbers))


@dataclass(frozen=True, slots=True)
class _Text:
    article: Article
    words: list[int]
    title_words: int


async def count(articles: Sequence[Article]) -> Counts:
    """Count the words of a day's articles. Needs no network; the loop has its turn after every `CHUNK` articles."""
    numbering = _Numbering()
    texts = await _without_repeats(await _read(articles, numbering))
    texts.sort(key=_newest)
    terms = numbering.terms()
    order = np.argsort(terms)
    places = np.empty(len(terms) + 1, dtype=np.int32)
    places[order + 1] = np.arange(len(terms), dtype=np.int32)
    await asyncio.sleep(0)
    bylines = Bylines()
    for number, text in enumerate(texts):
        bylines.add(number, text.article.authors)
        if number % CHUNK == 0:
            await asyncio.sleep(0)
    return Counts(
        articles=tuple(text.article for text in texts),
        repeats=len(articles) - len(texts),
        terms=terms[order],
        words=tuple(numbering.written[number + 1] for number in order.tolist()),
        text=await _rows([text.words for text in texts], places),
        title=await _rows([text.words[: text.title_words] for text in texts], places),
        bylines=bylines,
    )


async def _read(articles: Sequence[Article], numbering: _Numbering) -> list[_Text]:
    texts: list[_Text] = []
    for number, article in enumerate(articles, start=1):
        title = list(map(numbering.__getitem__, words(article.title)))
        texts.append(_Text(article, [*title, *map(numbering.__getitem__, words(article.abstract))], len(title)))
        if number % CHUNK == 0:
            await asyncio.sleep(0)
    return texts


async def _without_repeats(texts: list[_Text]) -> list[_Text]:
    """Keep of each story the copy worth most."""
    seen = SeenBefore()
    kept: list[_Text] = []
    for number, text in enumerate(sorted(texts, key=lambda text: preference(text.article)), start=1):
        if not seen.repeats(text.article, text.words, text.title_words):
            kept.append(text)
        if number % CHUNK == 0:
            await asyncio.sleep(0)
    return kept


def _newest(text: _Text) -> tuple[float, str, str]:
    published = text.article.published_at
    return (-published.timestamp() if published else 0.0, text.article.external_id, text.article.source)


async def _rows(texts: Sequence[Sequence[int]], places: Numbers) -> Rows:
    found: list[Numbers] = []
    counted: list[npt.NDArray[np.uint8]] = []
    lengths: list[int] = []
    for number, text in enumerate(texts, start=1):
        numbers, counts = np.unique(places[[number for number in text if number]], return_counts=True)
        found.append(numbers)
        counted.append(np.minimum(counts, _MOST_COUNTED).astype(np.uint8))
        lengths.append(len(numbers))
        if number % CHUNK == 0:
            await asyncio.sleep(0)
    starts = np.zeros(len(texts) + 1, dtype=np.int32)
    np.cumsum(lengths, out=starts[1:])
    return Rows(
        starts, np.concatenate([np.empty(0, np.int32), *found]), np.concatenate([np.empty(0, np.uint8), *counted])
    )
