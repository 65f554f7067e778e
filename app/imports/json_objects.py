"""Scanner that splits a JSON array into its objects while it arrives. A broken object does not affect others."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.imports.entries import MAX_ENTRY

_MAX_DEPTH: Final = 50
_STEP: Final = 8_192
_MAX_GIVEN_UP: Final = 100
_MARK: Final = re.compile(r"\\.?|[\"{}]", re.DOTALL)
# The beginning of an object that contains the array.
_WRAPPED: Final = re.compile(r"\s*\{\s*\"items\"\s*:\s*\[")
_LONGEST_START: Final = 200
_NEXT_ITEM: Final = re.compile(
    r",\s{0,200}(?=\{\s{0,200}\"(?:id|type|title|DOI|URL|author|abstract|issued|container-title|citation-key)\"\s{0,9}:)"
)


@dataclass(frozen=True, slots=True)
class JsonObject:
    """The text of an object. `problem`: why it is rejected."""

    line: int
    text: str
    problem: str | None = None


class ObjectScanner:
    """Finds objects by their braces. An object that is not closed ends where the next item begins."""

    def __init__(self) -> None:
        self._buffer = ""
        self._line = 1
        self._position = 0
        self._depth = self._deepest = 0
        self._quoted = False
        self._started = False
        self._given_up = 0

    def feed(self, text: str, *, final: bool = False) -> Iterator[JsonObject | None]:
        """Yield the objects that end in the text so far, and None after each step."""
        for start in range(0, len(text), _STEP):
            self._buffer += text[start : start + _STEP]
            yield from self._scan(final=False)
            yield None
        if final:
            yield from self._scan(final=True)
            while self._depth:
                yield self._unclosed("the entry is not closed: a brace or quote is missing")
                yield from self._scan(final=True)

    def _scan(self, *, final: bool) -> Iterator[JsonObject | None]:
        if not self._started:
            if len(self._buffer) < _LONGEST_START and not final:
                return
            wrapped = _WRAPPED.match(self._buffer)
            self._drop(wrapped.end() if wrapped else 0)
            self._started = True
        while (found := self._next(final=final)) is not None:
            yield found
            yield None
        if self._depth == 0:
            self._drop(self._position)
        elif len(self._buffer) > MAX_ENTRY:
            yield self._unclosed(f"the entry has more than {MAX_ENTRY} characters")

    def _next(self, *, final: bool) -> JsonObject | None:
        """Return the next object that ends in the buffer."""
        for mark in _MARK.finditer(self._buffer, self._position):
            match mark[0]:
                case "\\" if not final:
                    self._position = mark.start()  # The escaped character has not arrived.
                    return None
                case '"' if self._depth:
                    self._quoted = not self._quoted
                case "{" if not self._quoted:
                    if self._depth == 0:
                        self._drop(mark.start())
                        self._position, self._depth, self._deepest = 1, 1, 1
                        return self._next(final=final)
                    self._depth += 1
                    self._deepest = max(self._deepest, self._depth)
                case "}" if self._depth and not self._quoted:
                    self._depth -= 1
                    if self._depth == 0:
                        return self._ended(mark.end())
                case _:
                    pass
        self._position = len(self._buffer)
        return None

    def _ended(self, end: int) -> JsonObject:
        problem = f"the entry is nested more than {_MAX_DEPTH} deep" if self._deepest > _MAX_DEPTH else None
        if end > MAX_ENTRY:
            problem = f"the entry has more than {MAX_ENTRY} characters"
        found = JsonObject(self._line, self._buffer[:end], problem)
        self._drop(end)
        return found

    def _unclosed(self, problem: str) -> JsonObject:
        """Reject the object. Continue where the next item seems to begin, otherwise after the buffer."""
        found = JsonObject(self._line, "", problem)
        self._given_up += 1
        # Each search scans the rest of the buffer.
        following = _NEXT_ITEM.search(self._buffer, 1) if self._given_up <= _MAX_GIVEN_UP else None
        self._drop(following.end() if following else len(self._buffer))
        self._depth, self._quoted = 0, False
        return found

    def _drop(self, count: int) -> None:
        self._line += self._buffer.count("\n", 0, count)
        self._buffer = self._buffer[count:]
        self._position = 0
