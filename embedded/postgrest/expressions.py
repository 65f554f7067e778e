"""Builds SQL: identifiers are found in the catalog and quoted; values are always bound, never part of the text."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from embedded.postgrest.errors import syntax, unknown_column
from embedded.postgrest.syntax import OPERATORS, Field, Filter, Group, OrderItem, SelectItem

CASTS = frozenset(
    {
        *("text", "integer", "int", "int4", "bigint", "int8", "smallint", "int2", "numeric", "real", "float8"),
        *("double precision", "boolean", "bool", "date", "timestamptz", "timestamp", "uuid", "json", "jsonb"),
    }
)
"""Types that `select=column::type` may use."""

INDEX = re.compile(r"-?[0-9]{1,9}")
"""A step of a JSON path that is an array index."""


def quoted(identifier: str) -> str:
    """Quote an identifier. Raises `Refused` for a zero byte."""
    if "\0" in identifier:
        raise syntax("invalid identifier", "an identifier must not contain a zero byte")
    return '"' + identifier.replace('"', '""') + '"'


@dataclass
class Arguments:
    """The bound values of one statement, in order: texts, which the database casts to their types."""

    values: list[str] = field(default_factory=list)

    def bind(self, value: str) -> str:
        """Add a value and return its placeholder: an element of the statement's only parameter."""
        if "\0" in value:
            raise syntax("invalid value", "a text must not contain a zero byte")
        self.values.append(value)
        return f"($1::text[])[{len(self.values)}]"

    def bind_all(self, values: Sequence[str]) -> str:
        """Add several values as the text of one array."""
        return self.bind("{" + ",".join('"' + re.sub(r'(["\\])', r"\\\1", value) + '"' for value in values) + "}")


@dataclass(frozen=True)
class Source:
    """The table of a query: its alias in the statement, its name in messages, its columns' types.

    `extended` if the statement adds a column that is not part of the response.
    """

    alias: str
    name: str
    types: Mapping[str, str]
    extended: bool = False

    @property
    def star(self) -> str:
        """All columns, including those that the schema cache does not contain yet."""
        return ", ".join(f"{self.alias}.{quoted(name)}" for name in self.types) if self.extended else f"{self.alias}.*"

    def column(self, found: Field) -> str:
        """The column of `found`, qualified and quoted. Raises `Refused` if there is none."""
        if found.column not in self.types:
            raise unknown_column(self.name, found.column)
        return f"{self.alias}.{quoted(found.column)}"


def expression(source: Source, found: Field, arguments: Arguments) -> str:
    """A column, or a JSON path into it."""
    text = source.column(found)
    for arrow, step in found.path:
        number = INDEX.fullmatch(step)
        text += f" {arrow} {step}" if number else f" {arrow} {arguments.bind(step)}::text"
    return f"({text})" if found.path else text


def select_list(source: Source, items: Sequence[SelectItem], arguments: Arguments) -> str:
    """The columns of the response with their names."""
    parts = []
    for item in items:
        if item.field is None:
            parts.append(source.star)
            continue
        text = expression(source, item.field, arguments)
        if item.cast is not None:
            if item.cast not in CASTS:
                raise syntax(f"cannot cast to {item.cast!r}", f"the emulator supports {', '.join(sorted(CASTS))}")
            text = f"({text})::{item.cast}"
        parts.append(f"{text} as {quoted(item.alias or item.field.name)}")
    return ", ".join(parts)


def where(source: Source, conditions: Sequence[Filter | Group], arguments: Arguments) -> str:
    """The complete `where` clause, or an empty text."""
    parts = [_condition(source, condition, arguments) for condition in conditions]
    return f" where {' and '.join(parts)}" if parts else ""


def order_by(source: Source, items: Sequence[OrderItem], arguments: Arguments) -> str:
    """The complete `order by` clause, or an empty text."""
    parts = [" ".join((expression(source, item.field, arguments), *item.words)) for item in items]
    return f" order by {', '.join(parts)}" if parts else ""


def limit_offset(limit: int | None, offset: int) -> str:
    """The `limit` and `offset` clauses; both are numbers, so they need no binding."""
    return (f" limit {limit}" if limit is not None else "") + (f" offset {offset}" if offset else "")


def _condition(source: Source, condition: Filter | Group, arguments: Arguments) -> str:
    if isinstance(condition, Group):
        parts = [_condition(source, member, arguments) for member in condition.members]
        text = f"({f' {condition.word} '.join(parts)})"
    else:
        text = _comparison(source, condition, arguments)
    return f"not {text}" if condition.negated else text


def _comparison(source: Source, condition: Filter, arguments: Arguments) -> str:
    left = expression(source, condition.field, arguments)
    # PostgreSQL casts the value to the column's type, so the error message for an invalid value is PostgreSQL's.
    kind = _type_of(source, condition.field)
    match condition.operator:
        case "is":
            return f"({left} is {str(condition.value).lower()})"
        case "in":
            return f"({left} = any({arguments.bind_all(tuple(condition.value))}::{kind}[]))"
        case "like" | "ilike":
            pattern = str(condition.value).replace("*", "%")
            return f"({left} {condition.operator} {arguments.bind(pattern)}::text)"
        case "match" | "imatch":
            return f"({left} {OPERATORS[condition.operator]} {arguments.bind(str(condition.value))}::text)"
        case operator:
            return f"({left} {OPERATORS[operator]} ({arguments.bind(str(condition.value))}::text)::{kind})"


def _type_of(source: Source, found: Field) -> str:
    if found.path:
        return "text" if found.path[-1][0] == "->>" else "jsonb"
    kind = source.types[found.column]
    if not kind:
        raise syntax(f"cannot filter by {found.column}", "the type of this column of a function's result is not known")
    return kind
