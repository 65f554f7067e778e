"""Parser of one BibTeX block: its key and its fields."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

MAX_VALUE: Final = 30_000
"""Maximum length of a field; more than any text that is stored."""
_MAX_PARTS: Final = 1_000
_MAX_QUOTES: Final = 5_000
_KEY: Final = re.compile(r"\s*@\s*[\w:*-]+\s*[{(]\s*")
_NAME: Final = re.compile(r"([^\s=,{}()\"#%'\\@]{1,100})\s*=\s*")
_UNTIL_COMMA: Final = re.compile(r"[^,={}\"\n]{0,300}(?=[,\n})]|$)")
_KEY_ALONE: Final = re.compile(r"([^\s,={}\"]{1,300})\s+(?=[\w:+.-]{1,60}\s*=)")
_BRACE: Final = re.compile(r"[{}]")
_BRACE_OR_QUOTE: Final = re.compile(r"\\\"|[{}\"]")
_BARE: Final = re.compile(r"[^\s,#{}\"]+")
_BEHIND_QUOTE: Final = re.compile(r"\s*(?:[,#)}]|\Z|[\w:+.-]{1,60}\s*=)")
_BLANK: Final = re.compile(r"\s*")
_BETWEEN: Final = re.compile(r"[\s,;]*")
_SWALLOWED: Final = re.compile(r",[ \t\r]{0,50}\n[ \t\r\n]{0,50}[A-Za-z][\w-]{1,30}[ \t]{0,50}=[ \t]{0,50}[{\"]")


@dataclass(slots=True)
class Fields:
    """A block's key and values. A value is a list of parts: (text, whether it names a @string)."""

    key: str = ""
    values: dict[str, list[tuple[str, bool]]] = field(default_factory=dict)
    problem: str | None = None


class _Unreadable(Exception):
    """A value cannot be read; the message is the reason."""


def read_fields(text: str, *, closed: bool) -> Fields:
    """Parse a block. If a field is repeated, its first value that is not empty is used."""
    opened = _KEY.match(text)
    if opened is None:
        return Fields(problem="it has no beginning")
    end = len(text) - 1 if closed else len(text)
    key, position = _read_key(text, opened.end(), end)
    fields = Fields(key)
    try:
        for name, value in _named_values(text, position, end):
            if not fields.values.get(name):
                fields.values[name] = value
    except _Unreadable as error:
        fields.problem = str(error)
    if not closed and fields.problem is None and any(_swallowed(value) for value in fields.values.values()):
        fields.problem = "a brace is not closed: one field holds others"
    return fields


def _read_key(text: str, start: int, end: int) -> tuple[str, int]:
    """Return the key, which may be missing or lack its comma, and the position after it."""
    if _NAME.match(text, start, end):
        return "", start
    alone = _KEY_ALONE.match(text, start, end)
    if alone:
        return alone[1], alone.end()
    found = _UNTIL_COMMA.match(text, start, end)
    return (found[0].strip(), found.end()) if found else ("", start)


def _named_values(text: str, position: int, end: int) -> Iterator[tuple[str, list[tuple[str, bool]]]]:
    while position < end:
        position = _skip(_BETWEEN, text, position, end)
        named = _NAME.match(text, position, end)
        if named is None:
            # Skip text that is not a field, up to the next comma or line.
            position = _next_field(text, position + 1, end)
            continue
        name = named[1].lower()
        value, position = _value(text, named.end(), end, name)
        yield name, value


_MAYBE_FIELD: Final = re.compile(r"[,\n]")


def _next_field(text: str, position: int, end: int) -> int:
    found = _MAYBE_FIELD.search(text, position, end)
    return found.end() if found else end


def _value(text: str, position: int, end: int, name: str) -> tuple[list[tuple[str, bool]], int]:
    """Parse the parts of a value, which are joined by "#"."""
    parts: list[tuple[str, bool]] = []
    while position < end:
        if len(parts) >= _MAX_PARTS:
            raise _Unreadable(f"the field {name} has more than {_MAX_PARTS} parts")
        opening = text[position]
        if opening == "{":
            stop = _closing_brace(text, position, end, name)
            parts.append((text[position + 1 : min(stop - 1, position + 1 + MAX_VALUE)], False))
        elif opening == '"':
            stop = _closing_quote(text, position, end, name)
            parts.append((text[position + 1 : min(stop - 1, position + 1 + MAX_VALUE)], False))
        else:
            bare = _BARE.match(text, position, end)
            if bare is None:
                break
            stop = bare.end()
            parts.append((bare[0][:MAX_VALUE], not bare[0].isdecimal()))
        position = _skip(_BLANK, text, stop, end)
        if position >= end or text[position] != "#":
            break
        position = _skip(_BLANK, text, position + 1, end)
    return [part for part in parts if part[0].strip()], position


def _closing_brace(text: str, start: int, end: int, name: str) -> int:
    depth = 0
    for found in _BRACE.finditer(text, start, end):
        depth += 1 if found[0] == "{" else -1
        if depth == 0:
            return found.end()
    raise _Unreadable(f"a brace or quote of the field {name} is not closed")


def _closing_quote(text: str, start: int, end: int, name: str) -> int:
    """Return the position after the closing quote: outside braces, and followed by the end of the field."""
    depth = quotes = 0
    for found in _BRACE_OR_QUOTE.finditer(text, start + 1, end):
        quotes += found[0] == '"'
        if quotes > _MAX_QUOTES:
            raise _Unreadable(f"the field {name} has more than {_MAX_QUOTES} quotes")
        match found[0]:
            case "{":
                depth += 1
            case "}":
                depth -= 1
            case '"' if depth <= 0 and _BEHIND_QUOTE.match(text, found.end(), end):
                return found.end()
            case _:
                pass
    raise _Unreadable(f"a brace or quote of the field {name} is not closed")


def _skip(blank: re.Pattern[str], text: str, position: int, end: int) -> int:
    found = blank.match(text, position, end)
    return found.end() if found else position


def _swallowed(value: list[tuple[str, bool]]) -> bool:
    return any(_SWALLOWED.search(text) for text, _ in value)
