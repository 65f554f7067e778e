"""Parser of BibTeX and biblatex: converts blocks to papers, and resolves @strings and inherited fields."""

import re
from dataclasses import replace
from typing import Final

from app.imports.bibtex_blocks import Block, BlockScanner
from app.imports.bibtex_fields import Fields, read_fields
from app.imports.described import Described
from app.imports.entries import MAX_KEY, RejectedEntry, Steps
from app.imports.names import names_of
from app.sources.dates import PartialDate, complete, read_date, read_month
from app.sources.tex import from_tex
from app.sources.text import MAX_ABSTRACT, MAX_LINK, MAX_NAME, MAX_TITLE, plain

_MAX_STRINGS, _MAX_STRING = 20_000, 1_000
_MAX_CHAIN: Final = 5
"""Maximum length of a chain of entries that inherit from each other."""
_MARKUP: Final = 3
"""Characters of TeX that are converted for each character that is stored."""
_TITLES: Final = frozenset(
    {"book", "proceedings", "collection", "mvbook", "mvproceedings", "mvcollection", "conference"}
)
_INHERITED: Final = frozenset(
    {"booktitle", "title", "subtitle", "journal", "journaltitle", "year", "month", "date", "publisher", "volume"}
    | {"number", "series", "editor", "school", "institution", "url", "eprint"}
)
_SORTED_BY: Final = re.compile(r"\\noopsort\s?\{[^{}]{0,100}\}")
_BARE: Final = str.maketrans("", "", "{}")

Values = dict[str, str]


class BibtexReader:
    """Parses one file. An entry that refers to a later one (`crossref`) is yielded after it."""

    def __init__(self) -> None:
        self._scanner = BlockScanner()
        self._strings: dict[str, str] = {}
        self._parents: dict[str, Values] = {}
        self._waiting: dict[str, list[tuple[Block, str, Values]]] = {}

    def feed(self, text: str) -> Steps:
        """Parse the next part of the text."""
        yield from self._read(text, final=False)

    def end(self) -> Steps:
        """Parse the rest. An entry whose parent is missing is converted without it."""
        yield from self._read("", final=True)
        waiting, self._waiting = self._waiting, {}
        for block, key, values in (each for entries in waiting.values() for each in entries):
            yield from self._entry(block, key, self._inherited(values))

    def _read(self, text: str, *, final: bool) -> Steps:
        for block in self._scanner.feed(text, final=final):
            if block is None:
                yield None
            else:
                yield from self._take(block)

    def _take(self, block: Block) -> Steps:
        if block.kind in {"comment", "preamble"}:
            return
        if block.problem:
            yield RejectedEntry(block.line, _key_of(block), block.problem)
            return
        fields = read_fields(block.text, closed=block.closed)
        yield None
        if block.kind == "string":
            self._keep_strings(fields)
            return
        if fields.problem:
            yield RejectedEntry(block.line, plain(fields.key, MAX_KEY), fields.problem)
            return
        yield from self._place(block, fields.key, self._values(fields))

    def _place(self, block: Block, key: str, values: Values) -> Steps:
        """Yield the entry now, or when its parent is known."""
        if key:
            self._parents.setdefault(
                key.lower(),
                {name: values[name][:MAX_TITLE] for name in values if name in _INHERITED} | _references(values),
            )
        missing = self._missing(values)
        if missing is not None and block.kind != "xdata":
            self._waiting.setdefault(missing, []).append((block, key, values))
        elif block.kind != "xdata":
            yield from self._entry(block, key, self._inherited(values))
        for child in self._waiting.pop(key.lower(), []) if key else []:
            yield from self._place_again(*child)

    def _place_again(self, block: Block, key: str, values: Values) -> Steps:
        missing = self._missing(values)
        if missing is not None:
            self._waiting.setdefault(missing, []).append((block, key, values))
        else:
            yield from self._entry(block, key, self._inherited(values))

    def _missing(self, values: Values) -> str | None:
        """Return the key of an entry that these values inherit from, directly or not, and that was not read yet."""
        names = _parents_of(values)
        for _ in range(_MAX_CHAIN):
            unknown = next((name for name in names if name not in self._parents), None)
            if unknown is not None:
                return unknown
            names = [name for parent in names for name in _parents_of(self._parents[parent])][:_MAX_CHAIN]
        return None

    def _inherited(self, values: Values) -> Values:
        """Add the fields inherited from parents. The title of a book is the `booktitle` of its chapters."""
        complete_values, names = dict(values), _parents_of(values)
        for _ in range(_MAX_CHAIN):
            found = [self._parents[name] for name in names if name in self._parents]
            for parent in found:
                booktitle = (
                    {} if "booktitle" in parent or "crossref" not in values else {"booktitle": parent.get("title", "")}
                )
                complete_values = parent | {name: text for name, text in booktitle.items() if text} | complete_values
            names = [name for parent in found for name in _parents_of(parent)]
        return complete_values

    def _entry(self, block: Block, key: str, values: Values) -> Steps:
        """Convert in steps: title, names, abstract."""
        text = {name: from_tex(values.get(name, "")[: _MARKUP * MAX_TITLE]) for name in _SHORT}
        yield None
        authors = names_of(values.get("author") or values.get("editor", ""), from_tex)
        yield None
        abstract = from_tex(values.get("abstract", "")[: _MARKUP * MAX_ABSTRACT])
        yield None
        subtitle = text["subtitle"]
        title = text["title"] or (text["booktitle"] if block.kind in _TITLES else "")
        is_arxiv = (
            values.get("archiveprefix", values.get("eprinttype", "arxiv")).translate(_BARE).strip().lower() == "arxiv"
        )
        yield replace(
            Described(block.line, key),
            title=f"{title}: {subtitle}" if subtitle and title else title,
            abstract=abstract,
            authors=authors,
            doi=_literal(values.get("doi", "")),
            eprint=_literal(values.get("eprint", "")) if is_arxiv else "",
            links=_links(values),
            mentions=tuple(
                text[name] for name in ("journal", "journaltitle", "note", "volume", "number", "howpublished", "pages")
            ),
            date=_date(values),
            entry_type=block.kind,
            container=text["journaltitle"]
            or text["journal"]
            or (text["booktitle"] if title != text["booktitle"] else ""),
            volume=text["volume"],
            issue=text["number"] or text["issue"],
            pages=text["pages"],
            publisher=text["publisher"] or text["school"] or text["institution"] or text["organization"],
        ).entry()

    def _keep_strings(self, fields: Fields) -> None:
        for name, parts in fields.values.items():
            if len(self._strings) < _MAX_STRINGS:
                self._strings[name[:MAX_NAME]] = self._joined(parts, _MAX_STRING)

    def _values(self, fields: Fields) -> Values:
        return {
            name: self._joined(parts, _LONG.get(name, _MARKUP * MAX_LINK))
            for name, parts in fields.values.items()
            if parts
        }

    def _joined(self, parts: list[tuple[str, bool]], limit: int) -> str:
        text = ""
        for part, is_name in parts:
            text += self._strings.get(part.lower(), part) if is_name else part
            if len(text) >= limit:
                break
        return text[:limit]


_SHORT: Final = (
    *("title", "subtitle", "booktitle", "journal", "journaltitle", "note", "volume", "number", "issue", "pages"),
    *("publisher", "school", "institution", "organization", "howpublished"),
)
_LONG: Final = {"abstract": _MARKUP * MAX_ABSTRACT, "author": 20_000, "editor": 20_000}


def _references(values: Values) -> Values:
    return {name: values[name][:MAX_TITLE] for name in ("crossref", "xdata") if name in values}


def _parents_of(values: Values) -> list[str]:
    named = (values.get("xdata", "") + "," + values.get("crossref", ""))[: 4 * MAX_TITLE]
    return [name for each in named.split(",") if (name := each.translate(_BARE).strip().lower())][:_MAX_CHAIN]


def _key_of(block: Block) -> str:
    return plain(block.text[:MAX_KEY].partition("{")[2].partition(",")[0], MAX_KEY)


def _literal(value: str) -> str:
    r"""Return a URL or identifier without braces, `\_` and `$<$`. In these fields `~` and `--` are literal."""
    value = value[: _MARKUP * MAX_LINK].strip()
    if not any(mark in value for mark in "\\{}$"):
        return value
    # A URL contains no formula; `~` and `--` are part of it.
    value = _TILDE.sub("~", value)
    guarded = value.replace("$", "").replace("~", "{\\textasciitilde}").replace("--", "-{}-")
    return from_tex(guarded).strip()


_TILDE: Final = re.compile(r"\\~\{\}|\\~|\{\\textasciitilde\}|\\textasciitilde\b")
_URL: Final = re.compile(r"\\url\s?\{([^{}]{1,2000})\}|(https?://[^\s{}\\,;]{4,2000})")


def _links(values: Values) -> tuple[str, ...]:
    direct = [_literal(values[name]) for name in ("url", "link", "ee", "bdsk-url-1") if name in values]
    within = [
        found[1] or found[2]
        for name in ("howpublished", "note")
        for found in _URL.finditer(values.get(name, "")[:MAX_LINK])
    ]
    return tuple(link.split()[0] if link.count("http") > 1 else link for link in [*direct, *within[:5]] if link)


def _date(values: Values) -> PartialDate | None:
    """Return `date` if it is valid, otherwise `year` with `month`, which may include a day."""
    month, month_day = read_month(from_tex(values.get("month", "")[:MAX_NAME]))
    day = values.get("day", "").translate(_BARE).strip()
    texts = (from_tex(_SORTED_BY.sub("", values.get(name, "")[:MAX_NAME])) for name in ("date", "year", "issued"))
    date = next((found for text in texts if (found := read_date(text))), None)
    return complete(date, month, int(day) if day.isdecimal() and len(day) <= len("31") else month_day)
