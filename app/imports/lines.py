"""Splits a text that arrives in pieces into lines."""

from collections.abc import Iterator
from typing import Final

LINES_A_STEP: Final = 64
"""Lines per step if a line costs little."""


class Lines:
    """Yields each line with its number; None instead of a line that is too long, which is discarded."""

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
        """Yield the last line, if it is not empty."""
        if self._begun or self._overlong:
            yield self._number, self._line("")

    def _line(self, part: str) -> str | None:
        line, self._begun = self._begun + part, ""
        overlong, self._overlong = self._overlong or len(line) > self._longest, False
        return None if overlong else line.rstrip("\r")
