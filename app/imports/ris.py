"""Parser of RIS (https://en.wikipedia.org/wiki/RIS_(file_format)): one tag per line, from TY to ER."""

import re
from collections.abc import Iterator
from typing import Final

from app.imports.described import Described
from app.imports.entries import MAX_ENTRY, MAX_KEY, LibraryEntry, RejectedEntry, Steps
from app.imports.lines import LINES_A_STEP, Lines
from app.imports.markup import unmarked
from app.imports.names import inverted_name
from app.sources.dates import read_date
from app.sources.text import MAX_ABSTRACT, MAX_AUTHORS, MAX_NAME, MAX_TITLE, plain

_TAG: Final = re.compile(r"\s{0,9}([A-Z][A-Z0-9])\s{1,3}-(?:\s(.*))?$", re.DOTALL)
_MAX_LINES: Final = 5_000
_BLANK: Final = re.compile(r"\s{0,9}")

TYPES: Final = {
    "JOUR": "article", "MGZN": "article", "NEWS": "article", "EJOUR": "article", "JFULL": "article",
    "INPR": "article", "BOOK": "book", "EBOOK": "book", "EDBOOK": "book", "CHAP": "incollection",
    "ECHAP": "incollection", "CONF": "inproceedings", "CPAPER": "inproceedings", "THES": "phdthesis",
    "RPRT": "techreport", "UNPB": "unpublished", "MANSCPT": "unpublished",
}  # fmt: skip
_TITLES: Final = ("TI", "T1", "CT", "BT", "ST")
_CONTAINERS: Final = ("T2", "JF", "JO", "JA", "J2", "BT")
_LINKS: Final = ("UR", "LK", "L2", "L1", "L3", "L4")


class RisReader:
    """Parses one file. An entry without ER ends where the next one begins."""

    def __init__(self) -> None:
        self._lines = Lines(MAX_ENTRY)
        self._entry: _Entry | None = None

    def feed(self, text: str) -> Steps:
        """Parse the next part of the text."""
        for number, line in self._lines.feed(text):
            ended = 0
            for entry in self._line(number, line):
                ended += 1
                yield entry
            if ended or number % LINES_A_STEP == 0:
                yield None

    def end(self) -> Steps:
        """Parse the rest."""
        for number, line in self._lines.end():
            yield from self._line(number, line)
        yield from self._close()

    def _line(self, number: int, line: str | None) -> Iterator[LibraryEntry]:
        if line is None:
            self._entry = self._entry or _Entry(number)
            self._entry.problem = f"a line has more than {MAX_ENTRY} characters"
            return
        found = _TAG.match(line)
        tag, value = (found[1], (found[2] or "").strip()) if found else ("", line.strip())
        if tag == "TY":
            yield from self._close()
            self._entry = _Entry(number, kind=value.upper())
        elif tag == "ER":
            yield from self._close()
        elif tag or (value and self._entry):
            self._entry = self._entry or _Entry(number, problem="the entry does not begin with a line TY")
            self._entry.add(tag, value)

    def _close(self) -> Iterator[LibraryEntry]:
        entry, self._entry = self._entry, None
        if entry:
            yield entry.read()


class _Entry:
    def __init__(self, line: int, kind: str = "", problem: str | None = None) -> None:
        self._line = line
        self._kind = kind
        self._values: dict[str, list[str]] = {}
        self._last = ""
        self._size = self._count = 0
        self.problem = problem

    def add(self, tag: str, value: str) -> None:
        """Add a value. A line without a tag continues the previous one."""
        self._size += len(value)
        self._count += 1
        if self._size > MAX_ENTRY or self._count > _MAX_LINES:
            self.problem = f"the entry has more than {MAX_ENTRY} characters or {_MAX_LINES} lines"
        elif tag:
            self._last = tag
            self._values.setdefault(tag, []).append(value)
        elif self._last:
            values = self._values[self._last]
            values[-1] = f"{values[-1]} {value}"

    def read(self) -> LibraryEntry:
        key = self._first("ID", "LB", "AN")
        if self.problem:
            return RejectedEntry(self._line, plain(key, MAX_KEY), self.problem)
        title = unmarked(self._first(*_TITLES), MAX_TITLE)
        container = unmarked(self._first(*_CONTAINERS), MAX_TITLE)
        dates = (read_date(self._first(tag)) for tag in ("DA", "PY", "Y1"))
        found = [date for date in dates if date]
        return Described(
            self._line,
            key,
            title=title,
            abstract=unmarked(self._first("AB", "N2"), MAX_ABSTRACT),
            authors=self._authors(),
            doi=self._first("DO", "DI"),
            links=tuple(link for tag in _LINKS for link in self._values.get(tag, [])[:3] if link),
            mentions=tuple(
                text for tag in ("N1", "M1", "M3", "C1", "T2", "JO", "AN") for text in self._values.get(tag, [])[:3]
            ),
            date=max(found, key=lambda date: len(str(date)), default=None),
            entry_type=TYPES.get(self._kind, "misc"),
            container=container if container != title else "",
            volume=self._first("VL"),
            issue=self._first("IS", "CP"),
            pages=_pages(self._first("SP"), self._first("EP")),
            publisher=unmarked(self._first("PB"), MAX_TITLE),
        ).entry()

    def _first(self, *tags: str) -> str:
        return next((value for tag in tags for value in self._values.get(tag, []) if value), "")

    def _authors(self) -> tuple[str, ...]:
        written = next((names for tag in ("AU", "A1", "ED", "A2") if (names := self._values.get(tag))), [])
        spoken_names = (inverted_name(unmarked(name, MAX_NAME)) for name in written[:MAX_AUTHORS])
        return tuple(name for name in spoken_names if name)


def _pages(first: str, last: str) -> str:
    return f"{first}-{last}" if first and last else first or last
