r"""Formulas in titles and abstracts that strangers wrote: which of them TeX may get as they are.

TeX runs what a title contains: `\input` reads files, `\write18` starts programs, `^^5c` is another way to write a
backslash. So a formula passes only if it consists of commands of `math_commands` with their arguments, and of
characters without a special meaning.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.digest.math_commands import ARGUMENTS, DELIMITERS, SIZES, SYMBOLS, TEXT

_DEEPEST: Final = 20
"""Nested groups; TeX itself allows 255."""
# Pandoc's rule, by which "$5 to $10" is not a formula; and LaTeX's own form, \( \).
_FORMULA: Final = re.compile(
    r"(?<![\\$])\$(?![\s$])(?P<dollars>[^$]+?)(?<!\s)\$(?![\d$])|(?<!\\)\\\((?P<parentheses>(?:[^\\$]|\\[^()$])+)\\\)"
)
# A letter of another alphabet after a name would continue it in XeTeX; an @ would in a package.
_TOKEN: Final = re.compile(
    rf"\\(?:{TEXT}) ?\{{(?P<text>[^\\{{}}$%#&^_~@`\"\x00-\x1f\x7f-\x9f]*)\}}"
    r"|\\sqrt ?\[(?P<index>[A-Za-z0-9]{1,9})\]"
    r"|\\(?P<name>(?!sqrt *\[)[A-Za-z]+)(?![A-Za-z@]|[^\x00-\x7f]) *"
    r"|\\(?P<brace>[{}])|\\(?P<mark>[,;:!|%#&_ >])"
    r"|(?P<group>[{}])|(?P<script>\^(?!\^)|_) *"
    r"|(?P<space> +|~)|(?P<character>[^\\{}$%#&^_~@`\"\x00-\x20\x7f-\x9f])"
)


@dataclass(slots=True)
class _Group:
    """A group that is open: arguments that its last command lacks, and its `\\left` without a `\\right`."""

    wanted: int = 0
    script: bool = False
    lefts: int = 0

    @property
    def is_complete(self) -> bool:
        return not self.wanted and not self.lefts


def formulas(text: str) -> Iterator[re.Match[str]]:
    """Yield the formulas of a text that TeX may get as they are, in order."""
    for found in _FORMULA.finditer(text):
        if is_safe(found["dollars"] or found["parentheses"]):
            yield found


def is_safe(formula: str) -> bool:
    """Whether a formula, without its marks, has only allowed commands with their arguments, and balanced braces."""
    parser, place = _Parser(), 0
    while place < len(formula):
        token = _TOKEN.match(formula, place)
        if token is None or not parser.accept(token):
            return False
        place = token.end()
    return parser.is_complete


class _Parser:
    r"""Checks one formula. BibTeX counts the braces of `\{` and `\}`, TeX does not: both counts must be balanced."""

    def __init__(self) -> None:
        self._groups = [_Group()]
        self._braces = 0
        self._delimiter = False

    @property
    def is_complete(self) -> bool:
        """Whether the formula may end here."""
        return len(self._groups) == 1 and self._groups[0].is_complete and not self._braces and not self._delimiter

    def accept(self, token: re.Match[str]) -> bool:
        """Continue the formula; return whether it may continue so."""
        kind = token.lastgroup
        if self._delimiter:
            self._delimiter = False
            return self._is_delimiter(token)
        if kind == "name":
            return self._command(token["name"])
        if kind == "group":
            return self._open() if token["group"] == "{" else self._close()
        if kind == "script":
            return self._expect(1, script=True)
        if kind == "index":
            return self._expect(1)
        if kind == "brace" and not self._count(token["brace"]):
            return False
        return kind == "space" or self._argument()

    def _is_delimiter(self, token: re.Match[str]) -> bool:
        if token.lastgroup == "brace":
            return self._count(token["brace"])
        return token[0].strip() in DELIMITERS

    def _command(self, name: str) -> bool:
        group = self._groups[-1]
        if name in SYMBOLS:
            return self._argument()
        if name in ARGUMENTS:
            return self._expect(ARGUMENTS[name])
        if name in {"left", "right"}:
            group.lefts += 1 if name == "left" else -1
        elif name not in SIZES:
            return False
        self._delimiter = True
        return group.lefts >= 0 and not group.wanted

    def _argument(self) -> bool:
        group = self._groups[-1]
        group.wanted, group.script = max(0, group.wanted - 1), False
        return True

    def _expect(self, count: int, *, script: bool = False) -> bool:
        """A command that takes arguments is itself the argument of `^` and `_` only."""
        group = self._groups[-1]
        if group.wanted and (script or not group.script):
            return False
        group.wanted, group.script = count, script
        return True

    def _open(self) -> bool:
        self._argument()
        self._groups.append(_Group())
        return len(self._groups) <= _DEEPEST

    def _close(self) -> bool:
        return len(self._groups) > 1 and self._groups.pop().is_complete

    def _count(self, brace: str) -> bool:
        self._braces += 1 if brace == "{" else -1
        return self._braces >= 0
