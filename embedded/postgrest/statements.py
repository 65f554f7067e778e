"""Builds the one SQL statement of each request: a method on a table, or a function call."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from embedded.postgrest.catalog import Function, Relation
from embedded.postgrest.errors import Refused, syntax, unknown_column
from embedded.postgrest.expressions import Arguments, Source, limit_offset, order_by, quoted, select_list, where
from embedded.postgrest.request import Query

_BODY = "coalesce(json_agg(r), '[]')::text, count(*)"


@dataclass(frozen=True)
class Statement:
    """SQL that returns one row: the JSON body, its row count, the count of all rows, the count of new rows."""

    text: str
    arguments: Sequence[str]


NOTHING = Statement("select '[]', 0::bigint, 0::bigint, 0::bigint", ())
"""A write without rows or without columns."""


def read_rows(relation: Relation, query: Query) -> Statement:
    """GET and HEAD of a table."""
    arguments = Arguments()
    source = _source(relation)
    chosen = select_list(source, query.select, arguments)
    table = f"public.{quoted(relation.name)} as t"
    conditions = where(source, query.conditions, arguments)
    rows = f"select {chosen} from {table}{conditions}{order_by(source, query.order, arguments)}"
    total = f"(select count(*) from {table}{conditions})" if query.counted else "null::bigint"
    return Statement(
        f"select {_BODY}, {total}, 0::bigint from ({rows}{limit_offset(query.limit, query.offset)}) r", arguments.values
    )


def insert_rows(relation: Relation, query: Query, body: Any, raw: str) -> Statement:
    """POST to a table: insert, or upsert with `Prefer: resolution`."""
    _require_whole(query)
    arguments = Arguments()
    columns = query.columns or _columns_of_body(body)
    _require_columns(relation, columns)
    target = f"insert into public.{quoted(relation.name)} as t"
    if columns:
        names = ", ".join(map(quoted, columns))
        rows = _rows_of_body(relation, query, columns, arguments.bind(raw if isinstance(body, list) else f"[{raw}]"))
        inserted = f"{target} ({names}) select {names} from {rows}"
    elif body == []:
        return NOTHING
    elif isinstance(body, list) and len(body) > 1:
        raise Refused(HTTPStatus.BAD_REQUEST, "PGRST102", "Only one row without any column can be inserted at a time")
    else:
        inserted = f"{target} default values"
    return _returning(relation, query, inserted + _on_conflict(relation, query, columns), arguments)


def update_rows(relation: Relation, query: Query, body: Any, raw: str) -> Statement:
    """PATCH of a table."""
    _require_whole(query)
    if not isinstance(body, dict):
        raise Refused(HTTPStatus.BAD_REQUEST, "PGRST102", "The body of an update must be one JSON object")
    arguments = Arguments()
    columns = query.columns or tuple(body)
    _require_columns(relation, columns)
    if not columns:
        return NOTHING
    assigned = ", ".join(f"{quoted(name)} = b.{quoted(name)}" for name in columns)
    table = f"public.{quoted(relation.name)}"
    row = f"json_populate_record(null::{table}, {arguments.bind(raw)}::text::json) as b"
    updated = f"update {table} as t set {assigned} from {row}{where(_source(relation), query.conditions, arguments)}"
    return _returning(relation, query, updated, arguments)


def delete_rows(relation: Relation, query: Query) -> Statement:
    """DELETE from a table."""
    _require_whole(query)
    arguments = Arguments()
    deleted = f"delete from public.{quoted(relation.name)} as t{where(_source(relation), query.conditions, arguments)}"
    return _returning(relation, query, deleted, arguments)


def call_function(function: Function, query: Query, raw: str, names: frozenset[str]) -> Statement:
    """A function call; `raw` is a JSON object of its arguments, `names` are their names."""
    arguments = Arguments()
    called = f"public.{quoted(function.name)}({', '.join(_argument(name) for name in sorted(names))})"
    typed = ", ".join(f"{quoted(name)} {function.arguments[name]}" for name in sorted(names))
    row = f"json_to_record({arguments.bind(raw)}::text::json) as a({typed})" if names else "(select) as a"
    if function.nothing:
        return Statement(f"select null, 1::bigint, 1::bigint, 0::bigint from {row}, {called} as t", arguments.values)
    if not function.composite:
        return _scalar(function, query, f"{row}, {called} as t", arguments)
    return _composite(function, query, f"{row}, {called} as t", arguments)


def _require_whole(query: Query) -> None:
    """Reject a write with a limit, which would otherwise change all rows."""
    if query.limited:
        raise syntax("limit and offset in a write", "the emulator limits only reads: select the rows with filters")


def _source(relation: Relation, alias: str = "t", *, extended: bool = False) -> Source:
    types = {name: column.type for name, column in relation.columns.items()}
    return Source(alias, relation.name, types, extended)


def _argument(name: str) -> str:
    return f"{quoted(name)} := a.{quoted(name)}"


def _composite(function: Function, query: Query, called: str, arguments: Arguments) -> Statement:
    source = Source("t", function.name, function.columns)
    chosen = select_list(source, query.select, arguments)
    conditions = where(source, query.conditions, arguments)
    before, total = "", "null::bigint"
    if query.counted:  # materialized: the function may have side effects and must run once
        before, called = f"with t as materialized (select t.* from {called}) ", "t"
        total = f"(select count(*) from t{conditions})"
    rows = f"select {chosen} from {called}{conditions}{order_by(source, query.order, arguments)}"
    body = _BODY if function.many else "(json_agg(r) -> 0)::text, count(*)"
    return Statement(
        f"{before}select {body}, {total}, 0::bigint from ({rows}{limit_offset(query.limit, query.offset)}) r",
        arguments.values,
    )


def _scalar(function: Function, query: Query, called: str, arguments: Arguments) -> Statement:
    if not function.many:
        return Statement(
            f"select (json_agg(t) -> 0)::text, count(*), null::bigint, 0::bigint from {called}", arguments.values
        )
    if query.conditions or query.order or query.counted:
        raise syntax(
            f"{function.name} returns scalar values", "the emulator does not filter, order or count scalar values"
        )
    rows = f"select t from {called}{limit_offset(query.limit, query.offset)}"
    return Statement(
        f"select coalesce(json_agg(r.t), '[]')::text, count(*), null::bigint, 0::bigint from ({rows}) r",
        arguments.values,
    )


def _columns_of_body(body: Any) -> tuple[str, ...]:
    rows = body if isinstance(body, list) else [body]
    if not all(isinstance(row, dict) for row in rows):
        raise Refused(
            HTTPStatus.BAD_REQUEST, "PGRST102", "The body of an insert must be a JSON object or an array of objects"
        )
    if any(row.keys() != rows[0].keys() for row in rows):
        raise Refused(HTTPStatus.BAD_REQUEST, "PGRST102", "All object keys must match")
    return tuple(rows[0]) if rows else ()


def _require_columns(relation: Relation, columns: Sequence[str]) -> None:
    for name in columns:
        if name not in relation.columns:
            message = f"Could not find the '{name}' column of '{relation.name}' in the schema cache"
            raise Refused(HTTPStatus.BAD_REQUEST, "PGRST204", message)


def _rows_of_body(relation: Relation, query: Query, columns: Sequence[str], placeholder: str) -> str:
    table = f"public.{quoted(relation.name)}"
    defaults = {n: d for n in columns if (d := relation.columns[n].default) is not None}
    if query.prefer.get("missing") != "default" or not defaults:
        return f"json_populate_recordset(null::{table}, {placeholder}::text::json) as b"
    # The default expressions are the database's, from its catalog.
    filled = ", ".join(f"{_literal(name)}, {expression}" for name, expression in defaults.items())
    element = f"jsonb_array_elements({placeholder}::text::jsonb) as e"
    return f"{element}, jsonb_populate_record(null::{table}, jsonb_build_object({filled}) || e) as b"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _on_conflict(relation: Relation, query: Query, columns: Sequence[str]) -> str:
    resolution = query.prefer.get("resolution")
    target = query.on_conflict or relation.key
    if resolution is None or not target:
        return ""
    for name in target:
        if name not in relation.columns:
            raise unknown_column(relation.name, name)
    conflict = f" on conflict ({', '.join(map(quoted, target))}) do "
    if resolution == "ignore-duplicates" or not columns:
        return conflict + "nothing"
    return conflict + "update set " + ", ".join(f"{quoted(n)} = excluded.{quoted(n)}" for n in columns)


def _returning(relation: Relation, query: Query, change: str, arguments: Arguments) -> Statement:
    changed = _source(relation, alias="c", extended=True)
    if query.representation:
        returned, chosen = "t.*, ", select_list(changed, query.select, arguments)
        rows = f"select {chosen} from c{order_by(changed, query.order, arguments)}"
        body = f"(select coalesce(json_agg(r), '[]')::text from ({rows}) r)"
    elif query.prefer.get("return") == "headers-only" and relation.key:
        returned = ", ".join(f"t.{quoted(name)}" for name in relation.key) + ", "
        chosen = ", ".join(f"c.{quoted(name)}" for name in relation.key)
        body = f"(select json_agg(r)::text from (select {chosen} from c) r)"
    else:
        returned, body = "", "null"
    # xmax is 0 only in a row that the statement inserted: so an upsert distinguishes inserts from updates.
    with_new = f'with c as ({change} returning {returned}(t.xmax = 0) as "is new")'
    return Statement(
        f'{with_new} select {body}, count(*), count(*), count(*) filter (where "is new") from c', arguments.values
    )
