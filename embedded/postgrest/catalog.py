"""The schema cache: tables, columns, keys and functions of schema `public`, read from PostgreSQL's catalog."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import asyncpg

from embedded.postgrest.errors import Refused

RELATIONS = """
select c.relname as name,
       json_object_agg(a.attname, json_build_object(
           'type', format_type(a.atttypid, a.atttypmod),
           'default', case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end)
         order by a.attnum)::text as columns,
       (select json_agg(k.attname order by array_position(i.indkey::int2[], k.attnum))::text
          from pg_index i join pg_attribute k on k.attrelid = i.indrelid and k.attnum = any(i.indkey)
         where i.indrelid = c.oid and i.indisprimary) as key
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
 where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
 group by c.oid, c.relname
"""

FUNCTIONS = """
select p.proname as name, p.proretset as many, p.pronargdefaults as defaults,
       coalesce(p.proargnames, '{}') as names, coalesce(p.proargmodes::text[], '{}') as modes,
       (select coalesce(json_agg(format_type(t, null) order by o), '[]')::text
          from unnest(p.proargtypes) with ordinality as u(t, o)) as types,
       r.typtype in ('c') or p.prorettype = 'record'::regtype as composite, p.prorettype = 'void'::regtype as nothing,
       (select relname from pg_class where oid = r.typrelid) as row_of
  from pg_proc p join pg_type r on r.oid = p.prorettype
 where p.pronamespace = 'public'::regnamespace and p.prokind = 'f' and r.typname not in ('trigger', 'event_trigger')
"""


@dataclass(frozen=True)
class Column:
    """A column's type in PostgreSQL's notation, and the expression of its default."""

    type: str
    default: str | None


@dataclass(frozen=True)
class Relation:
    """A table or view."""

    name: str
    columns: Mapping[str, Column]
    key: tuple[str, ...]


@dataclass(frozen=True)
class Function:
    """A function: its input arguments with their types, and its result."""

    name: str
    arguments: Mapping[str, str]
    required: frozenset[str]
    many: bool
    composite: bool
    nothing: bool
    columns: Mapping[str, str]
    """Names (and types, if known) of the columns of a composite result."""

    def accepts(self, names: frozenset[str]) -> bool:
        """Whether it can be called with exactly these arguments."""
        return self.required <= names <= self.arguments.keys()


@dataclass(frozen=True)
class Snapshot:
    """The catalog at one moment."""

    relations: Mapping[str, Relation]
    functions: tuple[Function, ...]


class Catalog:
    """The schema cache. Like PostgREST's, it contains the last snapshot and nothing newer."""

    def __init__(self) -> None:
        self._is_loaded = False
        self._relations: Mapping[str, Relation] = {}
        self._functions: dict[str, list[Function]] = {}

    def replace(self, snapshot: Snapshot) -> None:
        """Use this snapshot from now on."""
        self._is_loaded = True
        self._relations = snapshot.relations
        self._functions = {}
        for function in snapshot.functions:
            self._functions.setdefault(function.name, []).append(function)

    def clear(self) -> None:
        """Empty the cache until the next snapshot, because the database could not be read."""
        self._is_loaded = False

    def require(self) -> None:
        """Raise `Refused` (PGRST002) while the cache is empty, as PostgREST does after a crash of the database."""
        if not self._is_loaded:
            message = "Could not query the database for the schema cache. Retrying."
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "PGRST002", message, headers=(("retry-after", "1"),))

    def relation(self, name: str) -> Relation:
        """Find a table or view. Raises `Refused` (42P01)."""
        found = self._relations.get(name)
        if found is None:
            raise Refused(HTTPStatus.NOT_FOUND, "42P01", f'relation "public.{name}" does not exist')
        return found

    def function(self, name: str, arguments: frozenset[str]) -> Function:
        """Find the function of this name with these arguments. Raises `Refused` (PGRST202, PGRST203)."""
        found = [function for function in self.named(name) if function.accepts(arguments)]
        if len(found) > 1:
            raise Refused(
                HTTPStatus.MULTIPLE_CHOICES, "PGRST203", f"More than one function {name} takes these arguments"
            )
        if not found:
            raise _no_function(name, arguments)
        return found[0]

    def named(self, name: str) -> list[Function]:
        """All functions of this name."""
        return self._functions.get(name, [])


async def read_catalog(connection: asyncpg.Connection) -> Snapshot:
    """Read tables and functions in one snapshot, so that no function lacks tables created before it."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        relations = {row["name"]: _relation(row) for row in await connection.fetch(RELATIONS)}
        functions = tuple(_function(row, relations) for row in await connection.fetch(FUNCTIONS))
    return Snapshot(relations, functions)


def _relation(row: Mapping[str, Any]) -> Relation:
    columns = {name: Column(**column) for name, column in json.loads(row["columns"]).items()}
    return Relation(row["name"], columns, tuple(json.loads(row["key"] or "[]")))


def _function(row: Mapping[str, Any], relations: Mapping[str, Relation]) -> Function:
    types: list[str] = json.loads(row["types"])
    modes = row["modes"] or ["i"] * len(types)
    inputs = [name for name, mode in zip(row["names"], modes, strict=False) if mode in "ib"]
    table = {name: "" for name, mode in zip(row["names"], modes, strict=False) if mode in "tob"}
    relation = relations.get(row["row_of"])
    columns = {name: column.type for name, column in relation.columns.items()} if relation else table
    return Function(
        name=row["name"],
        arguments=dict(zip(inputs, types, strict=False)),
        required=frozenset(inputs[: len(inputs) - row["defaults"]]),
        many=row["many"],
        composite=row["composite"] or bool(table),
        nothing=row["nothing"],
        columns=columns,
    )


def _no_function(name: str, arguments: frozenset[str]) -> Refused:
    listed = ", ".join(sorted(arguments))
    called = f"public.{name}({listed})" if arguments else f"public.{name} without parameters"
    searched = f"with parameter{'s' if len(arguments) > 1 else ''} {listed}" if arguments else "without parameters"
    return Refused(
        HTTPStatus.NOT_FOUND,
        "PGRST202",
        f"Could not find the function {called} in the schema cache",
        details=f"Searched for the function public.{name} {searched}, but no matches were found in the schema cache.",
    )
