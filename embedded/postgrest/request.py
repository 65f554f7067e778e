"""Parses a request: supported preferences and parameters; rejects all others."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from embedded.postgrest.errors import Refused, syntax
from embedded.postgrest.syntax import (
    Filter,
    Group,
    OrderItem,
    SelectItem,
    parse_columns,
    parse_filter,
    parse_group,
    parse_order,
    parse_select,
)

MAX_DIGITS = 16
SINGLE_OBJECT = "application/vnd.pgrst.object+json"
ACCEPTED = ("application/json", "*/*", "application/*", SINGLE_OBJECT)
RESERVED = frozenset({"select", "order", "limit", "offset", "columns", "on_conflict"})
GROUPS = frozenset({"or", "and", "not.or", "not.and"})

_PREFERENCES = {
    "return": ("representation", "minimal", "headers-only"),
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "count": ("exact", "planned", "estimated"),
    "missing": ("default", "null"),
}
"""The supported values of `Prefer`."""

_APPLIED_ORDER = ("resolution", "missing", "return", "count")


@dataclass(frozen=True)
class Query:
    """The parsed URL parameters and headers."""

    select: tuple[SelectItem, ...] = (SelectItem(None),)
    conditions: tuple[Filter | Group, ...] = ()
    order: tuple[OrderItem, ...] = ()
    limit: int | None = None
    offset: int = 0
    columns: tuple[str, ...] | None = None
    on_conflict: tuple[str, ...] | None = None
    prefer: Mapping[str, str] = field(default_factory=dict)
    single: bool = False
    limited: bool = False
    """Whether the URL limits the rows; a Range header limits only reads."""

    @property
    def counted(self) -> bool:
        """Whether the response needs the count of all rows; an estimate is replaced by the exact count."""
        return "count" in self.prefer

    @property
    def representation(self) -> bool:
        """Whether a write returns the rows."""
        return self.prefer.get("return") == "representation"

    @property
    def preference_applied(self) -> str:
        """The applied preferences, in PostgREST's order."""
        return ", ".join(f"{name}={self.prefer[name]}" for name in _APPLIED_ORDER if name in self.prefer)

    @property
    def tentative(self) -> bool:
        """Whether the result may cause an error response, so that the change must be rolled back."""
        return self.single or self.offset > 0

    def within(self, max_rows: int) -> "Query":
        """Return this query with a limit of at most `max_rows`."""
        return self if self.limit is not None and self.limit <= max_rows else replace(self, limit=max_rows)


def parse_query(
    parameters: Sequence[tuple[str, str]], headers: Mapping[str, str], *, arguments: frozenset[str] = frozenset()
) -> Query:
    """Parse URL parameters and headers; `arguments` are a function's arguments, which are not conditions.

    Raises `Refused` for everything that is not supported.
    """
    values: dict[str, str] = {}
    for name, value in parameters:
        if name in RESERVED:
            if name in values:
                raise syntax(f"the parameter {name!r} occurs twice", "use it once: only one value can apply")
            values[name] = value
    conditions = tuple(
        parse_group(name, value) if name in GROUPS else parse_filter(name, value)
        for name, value in parameters
        if name not in RESERVED and name not in arguments
    )
    limit, offset = _window(values, headers)
    return Query(
        select=parse_select(values.get("select", "")),
        conditions=conditions,
        order=parse_order(values.get("order", "")),
        limit=limit,
        offset=offset,
        columns=parse_columns(values["columns"]) if "columns" in values else None,
        on_conflict=parse_columns(values["on_conflict"]) if values.get("on_conflict") else None,
        prefer=_preferences(headers.get("prefer", "")),
        limited="limit" in values or "offset" in values,
        single=_wants_single(headers.get("accept", "*/*")),
    )


def parse_body(body: bytes) -> tuple[Any, str]:
    """Parse a JSON body into its value and its text, which the database parses. Raises `Refused` (PGRST102)."""
    try:
        text = body.decode()
        return json.loads(text), text
    except (ValueError, RecursionError):
        raise Refused(HTTPStatus.BAD_REQUEST, "PGRST102", "Empty or invalid json") from None


def _window(values: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int | None, int]:
    # Like PostgREST, ignore a limit or an offset that is not a number.
    limit, offset = _number(values.get("limit")), _number(values.get("offset")) or 0
    if "range" in headers and headers.get("range-unit", "items") == "items":
        first, _, last = headers["range"].partition("-")
        start, end = _number(first) or 0, _number(last)
        if end is not None and end < start:
            raise Refused(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "PGRST103", "Requested range not satisfiable")
        offset += start
        limit = limit if end is None else min(end - start + 1, limit if limit is not None else end + 1)
    return limit, offset


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < MAX_DIGITS else None


def _preferences(header: str) -> dict[str, str]:
    found = {}
    for preference in filter(None, (part.strip() for part in header.split(","))):
        name, _, value = preference.partition("=")
        if value not in _PREFERENCES.get(name, ()):
            supported = "; ".join(f"{key}={'|'.join(options)}" for key, options in _PREFERENCES.items())
            raise syntax(f"unknown preference {preference!r}", f"the emulator supports {supported}")
        found[name] = value
    return found


def _wants_single(accept: str) -> bool:
    kinds = [kind.partition(";")[0].strip() for kind in accept.split(",")]
    if not any(kind in ACCEPTED for kind in kinds):
        message = f"None of these media types are available: {accept}"
        raise Refused(HTTPStatus.NOT_ACCEPTABLE, "PGRST107", message)
    return kinds[0] == SINGLE_OBJECT
