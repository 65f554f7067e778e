"""Papers as BibTeX has them, from whoever sends it: cut into entries, each read in a step of a few milliseconds."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bibtexparser.entrypoint import parse_string
from bibtexparser.library import Library
from bibtexparser.middlewares import LatexDecodingMiddleware
from bibtexparser.model import Entry, Field, String

from app.errors import SourceError
from app.models import Article, ArticleKind
from app.sources.arxiv_id import arxiv_id
from app.sources.doi import doi
from app.sources.text import MAX_ABSTRACT, MAX_AUTHORS, MAX_LINK, MAX_NAME, MAX_TITLE, plain, safe_link

MAX_ENTRIES: Final = 500
MOST_NAMED: Final = 20
MAX_ENTRY: Final = 50_000
"""Characters; some exports hold all that a paper cites."""
# What the parser stops at, each for a microsecond or, an "@", for twenty.
_MARKS: Final = '{}",=\n('
_MOST_MARKS, _MOST_BLOCKS, _MOST_AT = 4_000, 50, 10_000
# So much of a line before an "@" is looked at.
_MOST_BLANKS: Final = 100
_MOST_STRINGS, _LONGEST_STRING = 500, 1_000
# LaTeX is decoded in pieces, for a command takes some 60 microseconds; what is beyond so many stays as it is.
_PIECE, _LONGEST_PIECE, _MOST_COMMANDS = 100, 200, 5_000
_BARE = str.maketrans("", "", "\\{}")
_YEAR = re.compile(r"[12]\d{3}")
_DECODER: Final = LatexDecodingMiddleware(keep_braced_groups=False, keep_math_mode=True)


class BadEntry(SourceError):
    """An entry cannot be read; `line` counts from 1, `key` is the entry's own, if it has one."""

    def __init__(self, line: int, key: str, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.key = key


@dataclass(frozen=True, slots=True)
class BibtexEntry:
    """A paper, as the entry at `line` describes it: without a source's own id, and maybe without a title."""

    line: int
    key: str
    article: Article


class BibtexReader:
    """Reads one text. What is wrong is in `bad`, up to `MOST_NAMED`; the loop has its turn after every step."""

    def __init__(self) -> None:
        self.entries: list[BibtexEntry] = []
        self.bad: list[BadEntry] = []
        self._strings: dict[str, str] = {}
        self._commands_left = _MOST_COMMANDS

    async def read(self, text: str) -> None:
        """Read the entries, each of which begins on a line of its own; what stands before the first is skipped."""
        if text.count("@") > _MOST_AT:
            self._refuse(1, "", f"the text has more than {_MOST_AT} @")
            return
        for line, block in _blocks(text):
            try:
                await self._take(line, block)
            except BadEntry as bad:
                self._refuse(bad.line, bad.key, str(bad))
            if len(self.entries) > MAX_ENTRIES:
                self._refuse(line, self.entries[-1].key, f"more than {MAX_ENTRIES} entries: send the rest apart")
            if len(self.bad) >= MOST_NAMED or len(self.entries) > MAX_ENTRIES:
                return
            await asyncio.sleep(0)

    def _refuse(self, line: int, key: str, reason: str) -> None:
        self.bad.append(BadEntry(line, plain(key, MAX_NAME), reason))

    async def _take(self, line: int, block: str) -> None:
        _require_small(line, block)
        library = parse_string(block, parse_stack=[])
        for string in library.strings:
            self._keep(string)
        for entry in library.entries:
            where = line + (entry.start_line or 0)
            article = await self._article({field.key.lower(): self._value(field) for field in reversed(entry.fields)})
            if not (article.title or article.arxiv_id or article.doi):
                raise BadEntry(where, entry.key, "the entry has no title, no DOI and no eprint of arXiv")
            self.entries.append(BibtexEntry(where, plain(entry.key, MAX_NAME), article))
        for failed in library.failed_blocks:
            key = failed.raw.partition("{")[2].partition(",")[0] if failed.raw else ""
            raise BadEntry(line + (failed.start_line or 0), key, "the entry is broken: do its braces and quotes close?")

    def _keep(self, string: String) -> None:
        if len(self._strings) < _MOST_STRINGS:
            self._strings[string.key[:MAX_NAME].lower()] = str(string.value)[:_LONGEST_STRING]

    def _value(self, field: Field) -> str:
        raw = str(field.value)
        value = self._strings.get(raw.lower(), raw) if len(raw) <= MAX_NAME else raw
        return value[1:-1] if len(value) > 1 and value[0] + value[-1] in {'""', "{}"} else value

    async def _article(self, fields: dict[str, str]) -> Article:
        bare = {name: value[:MAX_LINK].translate(_BARE).strip() for name, value in fields.items() if name in _SHORT}
        named = (arxiv_id(bare[name]) for name in ("eprint", "url", "journal", "note") if name in bare)
        year = _YEAR.match(bare.get("date") or bare.get("year", ""))
        return Article(
            source="given",
            external_id="",
            kind=ArticleKind.PAPER,
            title=await self._text(fields.get("title", ""), MAX_TITLE),
            abstract=await self._text(fields.get("abstract", ""), MAX_ABSTRACT),
            authors=_names(await self._text(fields.get("author", ""), MAX_ABSTRACT)),
            url=safe_link(bare.get("url")),
            published_at=datetime(int(year[0]), 1, 1, tzinfo=UTC) if year else None,
            arxiv_id=next((found for found in named if found), None),
            doi=doi(bare.get("doi")),
        )

    async def _text(self, value: str, limit: int) -> str:
        """The text that LaTeX would set, on one line; mathematics stays as it is written, as in arXiv's answers."""
        pieces = []
        for piece in _pieces(value[: 2 * limit].replace("~", " ")):
            commands = piece.count("\\")
            if 0 < commands <= self._commands_left:
                self._commands_left -= commands
                pieces.append(_decoded(piece))
                await asyncio.sleep(0)
            else:
                pieces.append(piece.translate(_BARE))
        return plain(" ".join(pieces), limit)


_SHORT: Final = frozenset({"eprint", "url", "journal", "note", "date", "year", "doi"})


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """Cut before each "@" that is the first on its line, and count the lines."""
    begun, line = -1, 1
    at = text.find("@")
    while at >= 0:
        before = text[max(0, at - _MOST_BLANKS) : at]
        if not before.rpartition("\n")[2].strip():
            if begun >= 0:
                yield line, text[begun:at]
            line += text.count("\n", max(begun, 0), at)
            begun = at
        at = text.find("@", at + 1)
    if begun >= 0:
        yield line, text[begun:]


def _require_small(line: int, block: str) -> None:
    if len(block) > MAX_ENTRY:
        raise BadEntry(line, "", f"the entry has more than {MAX_ENTRY} characters, or the next ones begin on no line")
    if sum(map(block.count, _MARKS)) > _MOST_MARKS or block.count("@") > _MOST_BLOCKS:
        raise BadEntry(line, "", f"the entry has more than {_MOST_MARKS} braces, quotes, commas and the like")


def _pieces(value: str) -> Iterator[str]:
    """Cut at blanks outside braces and mathematics, or anywhere if there are none."""
    piece, depth, dollars = "", 0, 0
    for word in value.split():
        piece = f"{piece} {word}" if piece else word
        depth, dollars = depth + word.count("{") - word.count("}"), dollars + word.count("$")
        while len(piece) > _LONGEST_PIECE:
            yield piece[:_LONGEST_PIECE]
            piece, depth, dollars = piece[_LONGEST_PIECE:], 0, 0
        if len(piece) > _PIECE and depth <= 0 and dollars % 2 == 0:
            yield piece
            piece, depth, dollars = "", 0, 0
    yield piece


def _decoded(piece: str) -> str:
    entry = Entry("", "", [Field("text", piece)])
    decoded = _DECODER.transform_entry(entry, Library())
    # What is no LaTeX at all comes back as an error, and is read without its braces.
    return str(decoded.fields[0].value) if isinstance(decoded, Entry) else piece.translate(_BARE)


def _names(authors: str) -> tuple[str, ...]:
    """BibTeX's "Last, First and First Last and others"."""
    names = (name.strip() for name in f" {authors} ".split(" and ")[:MAX_AUTHORS])
    turned = (" ".join(part.strip() for part in reversed(name.split(",", 1))) for name in names)
    return tuple(plain(name, MAX_NAME) for name in turned if name.strip() and name != "others")
