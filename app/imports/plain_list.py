"""Parser of a plain list of DOIs, arXiv ids or links: one or more per line, possibly with other words."""

import re
from collections.abc import Iterator
from typing import Final

from app.imports.described import Described
from app.imports.entries import LibraryEntry, RejectedEntry, Steps
from app.imports.lines import LINES_A_STEP, Lines
from app.sources.arxiv_id import mentioned_arxiv_id
from app.sources.doi import doi_in_link
from app.sources.text import MAX_LINK, plain

MAX_LINE: Final = 4_000
_MAX_WORDS: Final = 100
_PARTS: Final = re.compile(r"[\s,;\"]+")
_LIKE_AN_ID: Final = re.compile(r"10\.\d|arxiv|https?:|\d{4}\.\d{4}", re.IGNORECASE)
_SHOWN: Final = 80
_PREFIXES: Final = frozenset({"doi", "arxiv"})


class ListReader:
    """Parses one file. Words next to an identifier are ignored; a line without one is rejected, except # comments."""

    def __init__(self) -> None:
        self._lines = Lines(MAX_LINE)

    def feed(self, text: str) -> Steps:
        """Parse the next part of the text."""
        for number, line in self._lines.feed(text):
            if line is None or line.strip():
                yield from _entries(number, line)
                yield None
            elif number % LINES_A_STEP == 0:
                yield None

    def end(self) -> Steps:
        """Parse the last line."""
        for number, line in self._lines.end():
            yield from _entries(number, line)


def _entries(number: int, line: str | None) -> Iterator[LibraryEntry]:
    if line is None:
        yield RejectedEntry(number, "", f"the line has more than {MAX_LINE} characters")
        return
    line = line.strip()
    if not line or line.startswith("#"):
        return
    found = [(word, _described(number, word)) for word in _words(line)]
    if not any(described for _, described in found):
        yield RejectedEntry(
            number, plain(line, _SHOWN), "the line has no DOI, no arXiv id and no link that contains one"
        )
        return
    for word, described in found:
        if described:
            yield described.entry()
        elif _LIKE_AN_ID.search(word):
            yield RejectedEntry(
                number, plain(word, _SHOWN), "this is not a DOI, an arXiv id or a link that contains one"
            )


def _words(line: str) -> Iterator[str]:
    """Yield the words of a line. A separate prefix, as in `doi: 10.1000/1`, is joined to the next word."""
    before = ""
    for part in _PARTS.split(line)[:_MAX_WORDS]:
        if part.rstrip(":").lower() in _PREFIXES:
            before = f"{part.rstrip(':')}:"
            continue
        word = part.strip("()[]<>*-") if part[:1] in "([<*-" else part
        if word:
            yield before + word
        before = ""


def _described(number: int, word: str) -> Described | None:
    word = word[:MAX_LINK]
    paper, link = mentioned_arxiv_id(word), (word,) if "://" in word else ()
    found = None if paper else doi_in_link(word)
    if not (paper or found):
        return None
    return Described(number, "", doi=found or "", eprint=paper or "", links=link)
