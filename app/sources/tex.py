r"""TeX in titles, names and abstracts as Unicode: `Schr\"odinger` becomes Schrödinger; mathematics is not changed.

BibTeX files, feeds and arXiv's responses use this one function. A command costs about a microsecond, so there is no
limit after which accents stay TeX.
"""

import re
import unicodedata
from typing import Final

from app.sources.tex_commands import ACCENTS, ESCAPED, LETTERS, SPACES, STYLES, SYMBOLS

# Each alternative stops at the next mark of the same kind, so that matching takes linear time.
_MATH: Final = re.compile(
    r"\\[\\$&%#_{}]|(?P<math>\$\$[^$]+\$\$|\$(?:[^$\\]|\\.)+\$"
    r"|\\\((?:[^\\]|\\[^()\[\]])+\\\)|\\\[(?:[^\\]|\\[^()\[\]])+\\\])"
    r"|\\ensuremath\s?\{(?P<ensured>(?:[^{}]|\{[^{}]*\})+)\}",
    re.DOTALL,
)
_LETTER: Final = re.compile(rf"\\({'|'.join(sorted(LETTERS, key=len, reverse=True))})(?![A-Za-z])(?:\{{\}}|\s+)?")
_ACCENT: Final = re.compile(
    r"\\(?:(?P<mark>['`^\"~=.]|[uvHckr](?![A-Za-z]))\s{0,9}"
    r"(?:\{\s{0,9}(?P<first>[^\W\d_])(?P<rest>[^{}\\]{0,30})\}|(?P<only>[^\W\d_]))"
    r"|(?P<rare>[bdthGU])\s{0,9}\{(?P<under>[^\W\d_])(?P<more>[^{}\\]{0,30})\})"
)
_BARE_ACCENT: Final = re.compile(r"\\['`^\"~=.]\s{0,9}\{\s{0,9}\}")
_COMMAND: Final = re.compile(
    r"\\url\s?\{(?P<url>[^{}]*)\}|\\href\s?\{[^{}]*\}"
    r"|\\(?P<name>[A-Za-z]+)(?P<after>\{\}|\*|\s+)?(?P<argument>(?=\{))?"
    r"|\\(?P<escaped>.)",
    re.DOTALL,
)
_LIGATURES: Final = {"---": "—", "--": "–", "``": "“", "''": "”", "~": " ", "{": "", "}": ""}  # noqa: RUF001  (TeX writes these)
_LIGATURE: Final = re.compile(r"---|--|``|''|[~{}]")
_UNKNOWN: Final = re.compile(r"\\[A-Za-z]")
_QUOTE: Final = re.compile(r"\\([\"'])(?![A-Za-z{\\])")
_DEEPEST: Final = 3
"""Accents on accents, as Vietnamese has them."""
# Private-use characters replace literal marks until all commands are converted.
_KEPT: Final = {
    "{": "\ue000",
    "}": "\ue001",
    "~": "\ue002",
    "-": "\ue003",
    "`": "\ue004",
    "'": "\ue005",
    "\\": "\ue006",
}
_RESTORED: Final = str.maketrans({kept: literal for literal, kept in _KEPT.items()})
_MATH_HERE: Final = "\ue007"


def from_tex(text: str) -> str:
    r"""Return the text that LaTeX sets for `text`, as in a BibTeX field: without braces, `--` is a dash, `~` a blank.

    Mathematics (`$p<q$`, `\(p\)`) and commands without a known text stay as written.
    """
    if text.isascii() and not any(mark in text for mark in "\\{}~`'-"):
        return text
    text, formulas = _without_math(text)
    text = _LIGATURE.sub(lambda found: _LIGATURES[found[0]], _commands(_accented(text), is_tex=True))
    return _with_math(text, formulas)


def from_mixed(text: str) -> str:
    r"""Return plain text in which TeX may occur, as on arXiv and in feeds, without that TeX.

    Braces go only where the text holds TeX that is known. Unknown commands, `%`, `~` and `--` stay: they may be meant.
    """
    if "\\" not in text:
        return text
    # A backslash before a quote at the end of a word is an escape, not an accent.
    if _QUOTE.search(text):
        text = re.sub(r"\\([\"'])", r"\1", text)
    plain, formulas = _without_math(text)
    converted = _commands(_accented(plain), is_tex=False)
    if converted != plain and not _UNKNOWN.search(converted):
        converted = converted.translate({ord("{"): None, ord("}"): None})
    return _with_math(converted, formulas)


def _without_math(text: str) -> tuple[str, list[str]]:
    formulas: list[str] = []

    def keep(found: re.Match[str]) -> str:
        formula = found["math"] or (f"${found['ensured']}$" if found["ensured"] else None)
        if formula is None:
            return found[0]
        formulas.append(formula)
        return _MATH_HERE

    if "$" not in text and "\\" not in text:
        return text, formulas
    return _MATH.sub(keep, text.replace(_MATH_HERE, "")), formulas


def _with_math(text: str, formulas: list[str]) -> str:
    text = text.translate(_RESTORED)
    if not formulas:
        return text
    pieces = text.split(_MATH_HERE)
    return "".join(piece + formula for piece, formula in zip(pieces, [*formulas, ""], strict=True))


def _accented(text: str) -> str:
    if "\\" not in text:
        return text
    text = _LETTER.sub(lambda found: LETTERS[found[1]], text)
    for _ in range(_DEEPEST):
        before, text = text, _ACCENT.sub(_combined, text)
        if text == before:
            break
    return text


def _combined(found: re.Match[str]) -> str:
    letter = found["first"] or found["only"] or found["under"]
    mark = ACCENTS[found["mark"] or found["rare"]]
    base = {"\u0131": "i", "\u0237": "j"}.get(letter, letter)
    return unicodedata.normalize("NFC", base + mark) + (found["rest"] or found["more"] or "")


def _commands(text: str, *, is_tex: bool) -> str:
    if "\\" not in text:
        return text
    text = _BARE_ACCENT.sub("", text) if is_tex else text

    def written_out(found: re.Match[str]) -> str:
        if found["name"] is not None:
            return _named(found, is_tex=is_tex)
        if found["escaped"] is not None:
            return _escaped(found["escaped"], is_tex=is_tex)
        return _literal(found["url"] or "")

    return _COMMAND.sub(written_out, text)


def _named(command: re.Match[str], *, is_tex: bool) -> str:
    name = command["name"]
    if name in SYMBOLS:
        return _literal(SYMBOLS[name])
    if name in STYLES:
        return ""
    if not is_tex:
        return command[0]
    if name in SPACES:
        return " "
    # An unknown command is replaced by its argument; without one, it stays.
    return "" if command["argument"] is not None else _KEPT["\\"] + command[0][1:]


def _escaped(mark: str, *, is_tex: bool) -> str:
    if mark in ESCAPED:
        return _literal(mark)
    if not is_tex:
        return "\\" + mark
    if mark in "\\,;:! \n":
        return " "
    return "" if mark in "/-@" else _KEPT["\\"] + mark


def _literal(text: str) -> str:
    return "".join(_KEPT.get(character, character) for character in text)
