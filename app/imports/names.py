"""Names of authors, converted to the form given name, family name, suffix: `Roe, Jr., Paul W.` is Paul W. Roe, Jr."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from app.sources.text import MAX_AUTHORS, MAX_NAME, plain

_MARK: Final = re.compile(r"[{}]|\s+and\s+(?=\S)|;|,", re.IGNORECASE)
_SUFFIX_WORDS: Final = r"(?i:jr|sr|jnr|snr|junior|senior|2nd|3rd|4th|esq|ph\.?\s?d|m\.?d)"
_SUFFIX: Final = re.compile(rf"(?:{_SUFFIX_WORDS}|I{{2,3}}|I?V|VI{{1,3}}|I?X)\.?")
# Of two parts, the second one may be a given name or an initial: Xi Chen, V. Roe.
_SURE_SUFFIX: Final = re.compile(rf"(?:{_SUFFIX_WORDS}|I{{2,3}}|IV|VI{{2,3}})\.?")
_OTHERS: Final = frozenset({"others", "et al", "et al.", "and others", ""})
_PARTS: Final = re.compile(
    r"\s{0,9}(family|given|prefix|suffix|useprefix|given-i|family-i|prefix-i|suffix-i)\s{0,9}=\s{0,9}(.*)",
    re.IGNORECASE | re.DOTALL,
)
_FAMILY, _SUFFIX_PLACE, _GIVEN = range(3)
_FEWEST_LISTED: Final = 4


def names_of(field: str, convert: Callable[[str], str] = str) -> tuple[str, ...]:
    """Return the names of a BibTeX field. `convert` converts each part to text. A name in braces is not split."""
    pieces = list(_split(field.strip(), "and"))
    if len(pieces) == 1:
        # Scopus and others separate names by semicolons.
        pieces = list(_split(field, ";"))
    if len(pieces) == 1:
        pieces = _listed(pieces[0])
    named = (_spoken(piece.strip(), convert) for piece in pieces[: MAX_AUTHORS + 1])
    return tuple(name for name in named if name)[:MAX_AUTHORS]


def spoken(family: str, given: str, suffix: str = "") -> str:
    """Join the parts of a name, given as plain text."""
    name = f"{given} {family}".strip()
    return plain(f"{name}, {suffix}" if suffix and name else name or suffix, MAX_NAME)


def inverted_name(name: str) -> str:
    """Convert a name of the form `Family, Given, Suffix`, used by RIS."""
    return _spoken(name, str)


def _split(text: str, separator: str) -> Iterator[str]:
    """Split at a separator (`and`, `;` or `,`) outside braces."""
    depth = begun = 0
    for found in _MARK.finditer(text):
        mark = found[0].strip().lower()
        if mark == "{":
            depth += 1
        elif mark == "}":
            depth = max(0, depth - 1)
        elif mark == separator and depth == 0:
            yield text[begun : found.start()]
            begun = found.end()
    yield text[begun:]


def _listed(names: str) -> list[str]:
    """Split a list separated by commas, `A. Roe, B. Doe, C. Poe, D. Loe`: a single name has fewer commas."""
    pieces = [piece.strip() for piece in _split(names, ",")]
    is_list = len(pieces) >= _FEWEST_LISTED and all(len(piece.split()) > 1 for piece in pieces if piece)
    return pieces if is_list else [names]


def _spoken(name: str, convert: Callable[[str], str]) -> str:
    if name.strip(" ,.{}").lower() in _OTHERS or name.strip().lower() in _OTHERS:
        return ""
    pieces = list(_split(name, ","))
    parts = _labelled(pieces)
    if parts:
        labelled = {label: convert(value).strip() for label, value in parts.items()}
        family = " ".join(filter(None, (labelled.get("prefix", ""), labelled.get("family", ""))))
        return spoken(family, labelled.get("given", ""), labelled.get("suffix", ""))
    texts = [text for piece in pieces if (text := convert(piece).strip())]
    return _in_order(texts)


def _in_order(parts: list[str]) -> str:
    match parts:
        case []:
            return ""
        case [family, given] if not _SURE_SUFFIX.fullmatch(given):
            return spoken(family, given)
        case [family, suffix, given] if _SUFFIX.fullmatch(suffix) or not _SUFFIX.fullmatch(given):
            return spoken(family, given, suffix) if _SUFFIX.fullmatch(suffix) else plain(", ".join(parts), MAX_NAME)
        case [family, given, suffix]:
            return spoken(family, given, suffix)
        case _:
            return plain(", ".join(parts), MAX_NAME)


def _labelled(pieces: list[str]) -> dict[str, str]:
    """Parse biblatex's extended form, `family=Roe, given=Paul, suffix=Jr.`; empty if it is another form."""
    found = [_PARTS.fullmatch(piece.strip()) for piece in pieces]
    return {part[1].lower(): part[2] for part in found if part} if found and all(found) else {}
