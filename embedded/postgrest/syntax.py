"""Parses PostgREST's URL syntax (select, filters, order) into plain values, independent of tables and SQL."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from embedded.postgrest.errors import syntax

OPERATORS = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "like",
    "ilike": "ilike",
    "match": "~",
    "imatch": "~*",
    "cs": "@>",
    "cd": "<@",
    "ov": "&&",
    "isdistinct": "is distinct from",
    "in": "in",
    "is": "is",
}
IS_VALUES = frozenset({"null", "true", "false", "unknown"})
ORDER_WORDS = {"asc": "asc", "desc": "desc", "nullsfirst": "nulls first", "nullslast": "nulls last"}

MAX_DEPTH = 50
"""The most levels of nested groups, and the most steps of a JSON path."""

MAX_COLUMNS = 1600
"""About the most columns that PostgreSQL can return."""

_ARROW = re.compile(r"(->>|->)")
_SELECT_ITEM = re.compile(r"(?:(?P<alias>[^:()]+):(?!:))?(?P<field>[^:()]+)(?:::(?P<cast>[\w ]+))?")


@dataclass(frozen=True)
class Field:
    """A column, or a path into one: `attrs->dim->>x` is column `attrs`, path `(("->", "dim"), ("->>", "x"))`."""

    column: str
    path: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Its name in the response: the last step of the path, or the column."""
        return self.path[-1][1] if self.path else self.column


@dataclass(frozen=True)
class SelectItem:
    """One item of `select`; `field` is None for `*`."""

    field: Field | None
    alias: str | None = None
    cast: str | None = None


@dataclass(frozen=True)
class Filter:
    """One condition; `value` is a list for `in`."""

    field: Field
    operator: str
    value: str | tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True)
class Group:
    """Conditions joined by `and` or `or`."""

    word: Literal["and", "or"]
    members: tuple["Filter | Group", ...]
    negated: bool = False


@dataclass(frozen=True)
class OrderItem:
    """One item of `order`, with its SQL keywords."""

    field: Field
    words: tuple[str, ...]


def parse_select(text: str) -> tuple[SelectItem, ...]:
    """Read `select`: columns, aliases, casts and JSON paths. Raises `Refused` for embedded resources."""
    items = split_top_level(text) or ["*"]
    if len(items) > MAX_COLUMNS:
        raise syntax(f"select has {len(items)} items", f"at most {MAX_COLUMNS} are allowed")
    return tuple(_select_item(item, text) for item in items)


def parse_order(text: str) -> tuple[OrderItem, ...]:
    """Read `order`: `column.desc.nullslast,other`."""
    return tuple(_order_item(item, text) for item in split_top_level(text))


def parse_filter(column: str, text: str) -> Filter:
    """Read the condition `column=text`, such as `id=not.in.(1,2)`."""
    negated = text.startswith("not.")
    operator, dot, value = text.removeprefix("not.").partition(".")
    if not dot:
        expected = 'unexpected input expecting "not" or operator (eq, gt, ...)'
        raise syntax(f'"failed to parse filter ({text})" (line 1, column 1)', expected)
    if operator not in OPERATORS:
        raise syntax(f'"failed to parse filter ({text})" (line 1, column 3)', f"unknown operator {operator!r}")
    return Filter(parse_field(column), operator, _operand(operator, value, text), negated)


def parse_group(word: str, text: str, depth: int = 1) -> Group:
    """Read `or=(a.eq.1,and(b.gt.2,c.is.null))`; `word` is `or`, `and`, `not.or` or `not.and`."""
    if depth > MAX_DEPTH:
        raise syntax("a logic tree is too deep", f"at most {MAX_DEPTH} levels are allowed")
    if not (text.startswith("(") and text.endswith(")")):
        raise syntax(f'"failed to parse logic tree ({text})" (line 1, column 1)', 'expecting "("')
    members = tuple(_member(item, text, depth + 1) for item in split_top_level(text[1:-1]))
    kind: Literal["and", "or"] = "or" if word.removeprefix("not.") == "or" else "and"
    return Group(kind, members, word.startswith("not."))


def parse_columns(text: str) -> tuple[str, ...]:
    """Read `columns` and `on_conflict`: names, quoted or not."""
    names = tuple(unquote(item) for item in split_top_level(text))
    if not all(names) or not names:
        expected = "unexpected end of input expecting field name (* or [a..z0..9_$])"
        raise syntax(f'"failed to parse columns parameter ({text})" (line 1, column 1)', expected)
    return names


def parse_field(text: str) -> Field:
    """Read a column or a JSON path into one."""
    column, *steps = _ARROW.split(text)
    if len(steps) > 2 * MAX_DEPTH:
        raise syntax("a JSON path is too long", f"at most {MAX_DEPTH} steps are allowed")
    return Field(unquote(column), tuple((steps[i], unquote(steps[i + 1])) for i in range(0, len(steps), 2)))


def split_top_level(text: str) -> list[str]:
    """Split at commas outside of parentheses, braces and double quotes. Raises `Refused` when these do not match."""
    parts, depth, start = [], 0, 0
    for position, character in _outside_quotes(text):
        depth += (character in "({") - (character in ")}")
        if depth < 0:
            break
        if character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    if depth != 0:
        raise syntax(f'"failed to parse ({text})" (line 1, column {len(text)})', "unbalanced parentheses")
    return [*parts, text[start:]] if text else []


def unquote(text: str) -> str:
    """Remove the double quotes; inside them a backslash escapes the next character."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    return text


def _outside_quotes(text: str) -> Iterator[tuple[int, str]]:
    quoted, escaped = False, False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif not quoted:
            yield position, character
    if quoted:
        raise syntax(f'"failed to parse ({text})" (line 1, column {len(text)})', "a double quote is not closed")


def _operand(operator: str, value: str, text: str) -> str | tuple[str, ...]:
    if operator == "in":
        if not (value.startswith("(") and value.endswith(")")):
            detail = 'unexpected end of input expecting "," or ")"'
            raise syntax(f'"failed to parse filter ({text})" (line 1, column {len(text)})', detail)
        return tuple(unquote(item) for item in split_top_level(value[1:-1]))
    if operator == "is" and value.lower() not in IS_VALUES:
        raise syntax(f'"failed to parse filter ({text})" (line 1, column 4)', "expecting null, true, false or unknown")
    return value


def _member(item: str, text: str, depth: int) -> Filter | Group:
    if match := re.fullmatch(r"((?:not\.)?(?:and|or))(\(.*\))", item, re.DOTALL):
        return parse_group(match[1], match[2], depth)
    column, dot, rest = item.partition(".")
    if not dot:
        raise syntax(f'"failed to parse logic tree ({text})" (line 1, column 1)', f"no condition in {item!r}")
    condition = parse_filter(column, rest)
    return condition if isinstance(condition.value, tuple) else _unquoted(condition)


def _unquoted(condition: Filter) -> Filter:
    """Unquote the value: inside a logic tree, a value with reserved characters is quoted."""
    assert isinstance(condition.value, str)  # noqa: S101  (the caller checks)
    return Filter(condition.field, condition.operator, unquote(condition.value), condition.negated)


def _select_item(item: str, text: str) -> SelectItem:
    if item.strip() == "*":
        return SelectItem(None)
    match = _SELECT_ITEM.fullmatch(item.strip())
    if match is None:
        reason = f"{item!r} is not a column, alias:column, column::type or JSON path; the emulator embeds no tables"
        raise syntax(f'"failed to parse select parameter ({text})" (line 1, column 1)', reason)
    alias = match["alias"]
    return SelectItem(parse_field(match["field"]), unquote(alias) if alias else None, match["cast"])


def _order_item(item: str, text: str) -> OrderItem:
    field, *words = item.split(".")
    for word in words:
        if word not in ORDER_WORDS:
            detail = f'unexpected "{word[:1]}" expecting "asc", "desc", "nullsfirst" or "nullslast"'
            raise syntax(f'"failed to parse order ({text})" (line 1, column {len(field) + 2})', detail)
    return OrderItem(parse_field(field), tuple(ORDER_WORDS[word] for word in words))
