r"""TeX's reading of a BibTeX field, without TeX: its tokens by the usual category codes.

It is stricter than TeX: every special mark that is not part of an exported form is an error.
"""

import re
from typing import Final

_NAMES: Final = "textbackslash textbraceleft textbraceright textasciitilde textasciicircum textless textgreater textbar"
ALLOWED_IN_TEXT: Final = frozenset(_NAMES.split()) | frozenset("$&%#_")
_IN_FORMULAS: Final = frozenset(",;:!|%#&_{}> ") | {
    *("text", "mbox", "textrm", "textit", "textbf", "textsc", "textsf", "textnormal", "left", "right")
}
_TOKEN: Final = re.compile(r"\\([A-Za-z]+|[^A-Za-z])|([{}$%#&~^_])|([^\\])", re.DOTALL)


def read_tex(field: str) -> set[str]:
    r"""Return the commands that TeX would run, except those of spacing and text that only formulas have.

    Fails if the braces or formulas are not balanced, as BibTeX or as TeX counts them, or if a mark is not escaped.
    """
    assert "^^" not in field, "TeX reads ^^5c as a backslash"
    assert "\n" not in field
    depth = 0
    for brace in re.findall(r"[{}]", field):
        depth += 1 if brace == "{" else -1
        assert depth >= 0, "BibTeX ends the field"
    assert depth == 0
    return _commands(field)


def _commands(field: str) -> set[str]:
    names, formula, open_groups, place = set[str](), "", 0, 0
    while place < len(field):
        token = _TOKEN.match(field, place)
        assert token is not None, "a backslash ends the field"
        place = token.end()
        name, mark = token[1], token[2]
        if name in {"(", ")"} or mark == "$":
            opened = "" if formula else mark or name
            assert opened != ")", "a formula ends that did not begin"
            assert not formula or (formula, mark or name) in {("$", "$"), ("(", ")")}
            assert open_groups == 0
            formula = opened
        elif name:
            if not (formula and name in _IN_FORMULAS):
                names.add(name)
        elif mark in {"{", "}"}:
            open_groups += 1 if mark == "{" else -1
            assert open_groups >= 0, "TeX ends the group of the field"
            assert formula or field[place - 2 : place] == "{}" or field[place - 1 : place + 1] == "{}", (
                "text has no groups"
            )
        else:
            assert not mark or (formula and mark in "^_~"), f"{mark} is not escaped"
    assert not formula, "a formula does not end"
    assert open_groups == 0
    return names
