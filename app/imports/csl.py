"""Parser of CSL JSON (https://docs.citationstyles.org/en/stable/specification.html), used by Zotero and Pandoc."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.imports.described import Described
from app.imports.entries import MAX_KEY, LibraryEntry, RejectedEntry, Steps
from app.imports.json_objects import JsonObject, ObjectScanner
from app.imports.markup import unmarked
from app.imports.names import spoken
from app.sources.dates import PartialDate, read_date
from app.sources.text import MAX_ABSTRACT, MAX_AUTHORS, MAX_LINK, MAX_NAME, MAX_TITLE, plain

_TYPES: Final = {
    "article-journal": "article", "article-magazine": "article", "article-newspaper": "article",
    "journal-article": "article", "book": "book", "chapter": "incollection", "paper-conference": "inproceedings",
    "proceedings-article": "inproceedings", "thesis": "phdthesis", "report": "techreport", "manuscript": "unpublished",
}  # fmt: skip
_PARTS: Final = 3
_MAX_DIGITS: Final = 4


class CslReader:
    """Parses one file: an array of items, an object with an array `items`, or one item per line."""

    def __init__(self) -> None:
        self._scanner = ObjectScanner()

    def feed(self, text: str) -> Steps:
        """Parse the next part of the text."""
        yield from self._read(text, final=False)

    def end(self) -> Steps:
        """Parse the rest."""
        yield from self._read("", final=True)

    def _read(self, text: str, *, final: bool) -> Steps:
        for found in self._scanner.feed(text, final=final):
            if found is None:
                yield None
            else:
                yield None
                for entry in _items(found):
                    yield entry
                    yield None


def _items(found: JsonObject) -> Iterator[LibraryEntry]:
    if found.problem:
        yield RejectedEntry(found.line, "", found.problem)
        return
    try:
        value = json.loads(found.text, strict=False)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
        yield RejectedEntry(found.line, _key_in(found.text), f"the entry is not valid JSON: {reason}")
        return
    for item in value["items"] if isinstance(value.get("items"), list) else [value]:
        if isinstance(item, dict):
            yield csl_entry(found.line, item)
        else:
            yield RejectedEntry(found.line, "", "the entry is not a JSON object")


_KEY: Final = re.compile(r"\"id\"\s{0,9}:\s{0,9}\"([^\"\\]{1,120})\"")


def _key_in(text: str) -> str:
    found = _KEY.search(text, 0, MAX_LINK)
    return plain(found[1], MAX_KEY) if found else ""


def csl_entry(line: int, item: Mapping[str, Any]) -> LibraryEntry:
    """Return one item of CSL JSON as an entry."""
    subtitle, title = _text(item, "subtitle"), _text(item, "title")
    is_arxiv = _text(item, "archive").lower() == "arxiv"
    return Described(
        line,
        _text(item, "citation-key") or _text(item, "id"),
        title=unmarked(f"{title}: {subtitle}" if subtitle and title else title, MAX_TITLE),
        abstract=unmarked(_text(item, "abstract"), MAX_ABSTRACT),
        authors=_names(item.get("author")) or _names(item.get("editor")),
        doi=_text(item, "DOI") or _text(item, "doi"),
        eprint=_text(item, "archive_location") if is_arxiv else "",
        links=tuple(filter(None, (_text(item, "URL"), _text(item, "url")))),
        mentions=tuple(
            _text(item, name) for name in ("note", "number", "container-title", "publisher", "archive_location")
        ),
        date=_date(item.get("issued")),
        entry_type=_TYPES.get(_text(item, "type"), "misc"),
        container=unmarked(_text(item, "container-title"), MAX_TITLE),
        volume=_text(item, "volume"),
        issue=_text(item, "issue"),
        pages=_text(item, "page"),
        publisher=unmarked(_text(item, "publisher"), MAX_TITLE),
    ).entry()


def _text(item: Mapping[str, Any], name: str) -> str:
    """Return a field as text. Crossref sends lists for some fields; the first element is used."""
    value = item.get(name)
    if isinstance(value, list):
        value = next(iter(value), "")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value)[: MAX_ABSTRACT * 8]


def _names(people: object) -> tuple[str, ...]:
    found = (
        (_name(person) for person in people[:MAX_AUTHORS] if isinstance(person, dict))
        if isinstance(people, list)
        else ()
    )
    return tuple(name for name in found if name)


def _name(person: Mapping[str, Any]) -> str:
    literal = unmarked(_text(person, "literal") or _text(person, "name"), MAX_NAME)
    if literal:
        return plain(literal, MAX_NAME)
    parts = {
        name: unmarked(_text(person, name), MAX_NAME)
        for name in ("dropping-particle", "non-dropping-particle", "family")
    }
    return spoken(
        " ".join(filter(None, parts.values())),
        unmarked(_text(person, "given"), MAX_NAME),
        unmarked(_text(person, "suffix"), MAX_NAME),
    )


def _date(issued: object) -> PartialDate | None:
    if isinstance(issued, str | int):
        return read_date(str(issued)[:MAX_NAME])
    if not isinstance(issued, dict):
        return None
    parts = issued.get("date-parts")
    first = parts[0] if isinstance(parts, list) and parts else None
    numbers = [str(part) for part in first[:_PARTS]] if isinstance(first, list) else []
    if numbers and all(part.isdecimal() and len(part) <= _MAX_DIGITS for part in numbers):
        return read_date("-".join(numbers))
    return read_date(_text(issued, "raw") or _text(issued, "literal"))
