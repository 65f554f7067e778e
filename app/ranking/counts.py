"""Counts the words of a day's articles. The result is the same for every reader and every window of days."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.models.articles import Article
from app.ranking.acronyms import Definition, definitions
from app.ranking.authors import Bylines
from app.ranking.duplicates import SeenBefore, preference
from app.ranking.words import Piece, Stems, folded, is_english, term, words

CHUNK: Final = 25
"""Articles that are processed between two yields to the event loop: about 4 ms of work."""

GAP: Final = 16
"""Positions between two texts: more than the distance between the words of one phrase."""

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
        """Return the slice of an article's counts."""
        return slice(int(self.starts[number]), int(self.starts[number + 1]))


@dataclass(frozen=True, slots=True)
class Order:
    """The terms of texts in their order, by article as in `Rows`, each with its position (`places`) in the text.

    Two terms at one position are two readings of the same word. Between title and abstract are `GAP` positions.
    """

    starts: Numbers
    terms: Numbers
    places: npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Counts:
    """A day without duplicates. `terms` is sorted, and a term's index in it is its number in the rows.

    `text` counts the words of title and abstract, those of the title twice: they say what an article is about.
    `words` has for each term a word as the articles write it. Articles are sorted from newest to oldest, and by id if
    their times are equal, so that a stable sort by another key keeps this order for ties.
    """

    articles: tuple[Article, ...]
    repeats: int
    terms: Terms
    words: tuple[str, ...]
    text: Rows
    title: Rows
    title_ends: npt.NDArray[np.uint16]
    """The last position of the title in `order`, by article."""
    order: Order
    definitions: Mapping[Definition, int]
    bylines: Bylines


class _Numbering(dict[str, int]):
    """Maps words to term numbers, from 1 in the order of appearance. A word without a term maps to 0.

    A word with several terms maps to -n, and `_several[n - 1]` has their numbers. The values are plain integers, which
    the garbage collector does not traverse.
    """

    def __init__(self, stems: Stems, numbers: dict[int, int], written: list[str]) -> None:
        super().__init__()
        self._stems = stems
        self._numbers = numbers
        self._written = written
        self._several: list[tuple[int, ...]] = []

    def __missing__(self, word: str) -> int:
        found = tuple(self._number(piece) for piece in self._stems.read(word))
        if len(found) > 1:
            self._several.append(found)
        number = -len(self._several) if len(found) > 1 else sum(found)
        self[word] = number
        return number

    def of(self, words: Sequence[str]) -> list[int]:
        """Return the term numbers of words. A negative number is another reading of the word before it."""
        found = list(map(self.__getitem__, words))
        if min(found, default=0) >= 0:
            return found
        return [number for each in found for number in (self._several[-each - 1] if each < 0 else (each,))]

    def _number(self, piece: Piece) -> int:
        number = self._numbers.setdefault(term(piece.stem), len(self._written))
        if number == len(self._written):
            self._written.append(piece.written.lower() if piece.written.istitle() else piece.written)
        return number if piece.step else -number


@dataclass(frozen=True, slots=True)
class _Text:
    article: Article
    words: list[int]
    title_words: int


class _TextReader:
    """Converts texts of any language to term numbers, and collects the acronyms that they define."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self.written = [""]
        self._stems = Stems()
        self._english = _Numbering(self._stems, self._numbers, self.written)
        self._other = _Numbering(Stems(english=False), self._numbers, self.written)
        self.definitions: Counter[Definition] = Counter()

    def read(self, article: Article) -> _Text:
        """Convert an article."""
        title, abstract = words(article.title), words(article.abstract)
        numbering = self._english if is_english([*title, *abstract]) else self._other
        self.definitions.update(definitions(folded(article.abstract), self._stems.of_text))
        numbers = numbering.of(title)
        return _Text(article, [*numbers, *numbering.of(abstract)], len(numbers))

    def terms(self) -> Terms:
        """Return the terms in the order of their numbers, from 1."""
        return np.fromiter(self._numbers, dtype=np.uint32, count=len(self._numbers))


async def count(articles: Sequence[Article]) -> Counts:
    """Count the words of a day's articles. Yields to the event loop after every `CHUNK` articles."""
    reader = _TextReader()
    texts = await _without_repeats(await _read(articles, reader))
    texts.sort(key=_newest)
    terms = reader.terms()
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
        words=tuple(reader.written[number + 1] for number in order.tolist()),
        text=await _rows([[*text.words, *text.words[: text.title_words]] for text in texts], places),
        title=await _rows([text.words[: text.title_words] for text in texts], places),
        title_ends=np.array([_places(text.words[: text.title_words]) for text in texts], dtype=np.uint16),
        order=await _order(texts, places),
        definitions=reader.definitions,
        bylines=bylines,
    )


async def _read(articles: Sequence[Article], reader: _TextReader) -> list[_Text]:
    texts: list[_Text] = []
    for number, article in enumerate(articles, start=1):
        texts.append(reader.read(article))
        if number % CHUNK == 0:
            await asyncio.sleep(0)
    return texts


async def _without_repeats(texts: list[_Text]) -> list[_Text]:
    """Keep the best copy of each story."""
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
        numbers, counts = np.unique(places[[abs(each) for each in text if each]], return_counts=True)
        found.append(numbers)
        counted.append(np.minimum(counts, _MOST_COUNTED).astype(np.uint8))
        lengths.append(len(numbers))
        if number % CHUNK == 0:
            await asyncio.sleep(0)
    return Rows(
        _starts(lengths),
        np.concatenate([np.empty(0, np.int32), *found]),
        np.concatenate([np.empty(0, np.uint8), *counted]),
    )


async def _order(texts: Sequence[_Text], places: Numbers) -> Order:
    found: list[Numbers] = []
    where: list[npt.NDArray[np.uint16]] = []
    for number, text in enumerate(texts, start=1):
        read = np.array(text.words, dtype=np.int32)
        steps = (read > 0).astype(np.uint16)
        # The last word of the title is not adjacent to the first word of the abstract.
        steps[text.title_words : text.title_words + 1] += GAP
        found.append(places[np.abs(read[read != 0])])
        where.append(np.cumsum(steps, dtype=np.uint16)[read != 0])
        if number % CHUNK == 0:
            await asyncio.sleep(0)
    return Order(
        _starts([len(each) for each in found]),
        np.concatenate([np.empty(0, np.int32), *found]),
        np.concatenate([np.empty(0, np.uint16), *where]),
    )


def _places(numbers: Sequence[int]) -> int:
    return sum(number > 0 for number in numbers)


def _starts(lengths: Sequence[int]) -> Numbers:
    starts = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=starts[1:])
    return starts
