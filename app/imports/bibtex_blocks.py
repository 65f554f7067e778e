"""Scanner that splits BibTeX into blocks (`@type{...}`) in steps. A broken block does not affect others."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from app.imports.entries import MAX_ENTRY

_MAX_DEPTH: Final = 100
_MAX_MARKS: Final = 30_000
_AHEAD: Final = 600
"""Characters after a mark on which its meaning may depend: a step ends this far before the end."""
_STEP: Final = 8_192

_START: Final = re.compile(r"@\s{0,20}(?P<type>[A-Za-z][\w:*-]{0,39})\s{0,20}(?P<open>\{|\((?=[^,(){}=]{0,200}[,=]))")
_FORGOTTEN: Final = re.compile(
    r"(?:^|(?<=\n))[ \t]{0,20}@(?:article|book|in(?:proceedings|collection)|conference|misc|phdthesis|techreport)\b"
    r"(?!\s{0,20}[{(])",
    re.IGNORECASE,
)
_MARK: Final = re.compile(r"[{}]|\n[ \t]{0,40}@(?=[A-Za-z][\w:*-]{0,39}\s{0,20}[{(])")
_MARK_OF_ROUND: Final = re.compile(r"[{}\")]|\n[ \t]{0,40}@(?=[A-Za-z][\w:*-]{0,39}\s{0,20}[{(])")
# Matches only the beginning of a block, not a text that mentions @article{...}.
_BLOCK: Final = re.compile(
    r"\s{0,60}@(?:(?:comment|preamble)\b|[A-Za-z][\w:*-]{0,39}\s{0,20}[{(]\s{0,200}"
    r"(?:[\w:+.-]{1,60}\s{0,20}=|[^\s,{}\"=@]{0,200}\s{0,20},\s{0,200}(?:[\w:+.-]{1,60}\s{0,20}[=,}]|[})])))",
    re.IGNORECASE,
)
_GOES_ON: Final = re.compile(r"\s{0,200},\s{0,200}[A-Za-z][\w-]{0,40}\s{0,20}=\s{0,20}[{\"\w]")


@dataclass(frozen=True, slots=True)
class Block:
    """The text of a block from its "@". `problem`: why it is rejected; `closed`: whether its end was found."""

    line: int
    kind: str
    text: str
    closed: bool = True
    problem: str | None = None


@dataclass(slots=True)
class _Open:
    """The current block. The buffer begins with its "@"; positions are relative to it."""

    kind: str
    round: bool
    depth: int
    quoted: bool = False
    marks: int = 0
    too_long: bool = False
    pending: list[int] = field(default_factory=list)


class BlockScanner:
    """Finds blocks by their braces. A block that is not closed ends where a line clearly begins the next one."""

    def __init__(self) -> None:
        self._buffer = ""
        self._line = 1
        self._position = 0
        self._open: _Open | None = None
        self._problem: str | None = None

    def feed(self, text: str, *, final: bool = False) -> Iterator[Block | None]:
        """Yield the blocks that end in the text so far, and None after each step."""
        for start in range(0, len(text), _STEP):
            self._buffer += text[start : start + _STEP]
            yield from self._scan(final=False)
            yield None
        if final:
            yield from self._scan(final=True)

    def _scan(self, *, final: bool) -> Iterator[Block | None]:
        while True:
            block, more = self._inside(final=final) if self._open else self._outside(final=final)
            if block:
                yield block
                yield None
            if not more:
                return

    def _outside(self, *, final: bool) -> tuple[Block | None, bool]:
        """Skip the text before the next block. A known type without a brace is reported as a rejected entry."""
        limit = len(self._buffer) if final else max(0, len(self._buffer) - _AHEAD)
        found = _START.search(self._buffer)
        forgotten = _FORGOTTEN.search(self._buffer, 0, found.start() if found else limit)
        if forgotten and forgotten.end() <= limit:
            block = Block(
                self._line_at(self._buffer.index("@", forgotten.start())),
                "",
                "",
                problem="no { follows the entry's type",
            )
            self._drop(forgotten.end())
            return block, True
        if found is None or found.start() > limit:
            self._drop(max(0, limit))
            return None, False
        self._drop(found.start())
        self._begin()
        return None, True

    def _begin(self) -> None:
        found = _START.match(self._buffer)
        if found is None:  # Blocks begin only where _START matched.
            raise AssertionError(self._buffer[:40])
        is_round = found["open"] == "("
        self._open = _Open(found["type"].lower(), is_round, 0 if is_round else 1)
        self._position = found.end()

    def _inside(self, *, final: bool) -> tuple[Block | None, bool]:
        block = self._open
        if block is None:
            return None, False
        limit = len(self._buffer) if final else max(self._position, len(self._buffer) - _AHEAD)
        marks = _MARK_OF_ROUND if block.round else _MARK
        for found in marks.finditer(self._buffer, self._position):
            if found.start() >= limit:
                break  # Its meaning may depend on text that has not arrived.
            end = self._at_mark(block, found)
            if end is not None:
                return end, True
        self._position = limit
        if final:
            return self._unclosed(block.pending[0] if block.pending else len(self._buffer)), True
        if limit > MAX_ENTRY:
            return self._overlong(block)
        return None, False

    def _at_mark(self, block: _Open, found: re.Match[str]) -> Block | None:
        """Process a mark. Return the block if it ends here."""
        block.marks += 1
        self._bound(block)
        match found[0]:
            case "{":
                block.depth += 1
            case "}":
                block.depth -= 1
                if block.depth <= 0 and not block.round:
                    return self._closed(block, found.end())
            case '"':
                block.quoted = block.quoted != (block.depth == 0)
            case ")":
                if block.depth <= 0 and not block.quoted:
                    return self._cut(found.end(), closed=True)
            case _:
                return self._at_start(block, found)
        return None

    def _bound(self, block: _Open) -> None:
        if block.depth > _MAX_DEPTH:
            self._problem = f"braces are nested more than {_MAX_DEPTH} deep"
        elif block.marks > _MAX_MARKS:
            self._problem = f"the entry has more than {_MAX_MARKS} braces"

    def _closed(self, block: _Open, end: int) -> Block | None:
        if block.kind != "comment" and _GOES_ON.match(self._buffer, end):
            block.depth = 1  # An extra closing brace in a field: another field follows.
            return None
        return self._cut(end, closed=True)

    def _at_start(self, block: _Open, found: re.Match[str]) -> Block | None:
        """Process a line that begins like a block: the current block is not closed, or quotes another."""
        if not _BLOCK.match(self._buffer, found.start()):
            return None
        at = found.end() - 1
        if block.pending:
            return self._unclosed(block.pending[0])
        if block.depth <= 1 and not (block.round and block.quoted):
            return self._unclosed(at)
        block.pending.append(at)
        return None

    def _unclosed(self, end: int) -> Block:
        return self._cut(end, closed=False)

    def _overlong(self, block: _Open) -> tuple[Block | None, bool]:
        """End the block where the next one begins, or discard its text until it ends."""
        if block.pending:
            return self._unclosed(block.pending[0]), True
        self._problem = self._problem or f"the entry has more than {MAX_ENTRY} characters"
        if not block.too_long:
            block.too_long = True
            self._head = self._buffer[:_AHEAD]
            self._head_line = self._line
        self._drop(self._position)
        self._position = 0
        return None, False

    def _cut(self, end: int, *, closed: bool) -> Block:
        block = self._open
        kind = block.kind if block else ""
        text, line = self._buffer[:end], self._line
        if end > MAX_ENTRY:
            self._problem = f"the entry has more than {MAX_ENTRY} characters"
        if block and block.too_long:
            text, line = self._head, self._head_line
        self._drop(end)
        self._open, problem, self._problem = None, self._problem, None
        self._position = 0
        return Block(line, kind, text, closed=closed, problem=problem)

    _head = ""
    _head_line = 1

    def _line_at(self, position: int) -> int:
        return self._line + self._buffer.count("\n", 0, position)

    def _drop(self, count: int) -> None:
        self._line += self._buffer.count("\n", 0, count)
        self._buffer = self._buffer[count:]
