"""A text that comes in pieces, line by line."""

from collections.abc import Iterator
from typing import Final

LINES_A_STEP: Final = 64
"""Lines that are read at once where a line is little work."""


class Lines:
    """Yields each line with its number; None for one that is too long, of which no more is kept."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._begun = ""
        self._overlong = False
        self._number = 1

    def feed(self, text: str) -> Iterator[tuple[int, str | None]]:
        """Yield the lines that end in this piece."""
        *ended, rest = text.split("\n")
        for part in ended:
            yield self._number, self._line(part)
            self._number += 1
        self._begun += rest
        if len(self._begun) > self._longest:
            self._begun, self._overlong = "", True

    def end(self) -> Iterator[tuple[int, str | None]]:
        """Yield the last line, if it holds anything."""
        if self._begun or self._overlong:
            yield self._number, self._line("")

    def _line(self, part: str) -> str | None:
        line, self._begun = self._begun + part, ""
        overlong, self._overlong = self._overlong or len(line) > self._longest, False
        return None if overlong else line.rstrip("\r")
