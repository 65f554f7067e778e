"""No function updates or deletes without a condition, which Supabase's pg-safeupdate would refuse."""

from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest
from pglast import ast, parse_plpgsql, parse_sql
from pglast.visitors import Visitor

from embedded.stack import Ready
from tests.support.schema_cache import schema_is_read

FUNCTIONS = """
select p.oid::regprocedure::text as name, lanname as language, prosrc as body, pg_get_functiondef(p.oid) as definition
  from pg_proc p join pg_language l on l.oid = p.prolang
 where pronamespace = 'public'::regnamespace and prokind in ('f', 'p')
"""
LOADED = """
select exists (select from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
                where rolname = 'authenticator' and 'session_preload_libraries=safeupdate' = any (setconfig))
"""
STATEMENT = 0
"""pglast's parse mode of a plpgsql text that is a statement; expressions and assignments contain no writes."""

INJECTED_PLPGSQL = {
    "an update": "update public.tasks set message = 'x';",
    "a delete with a join": "delete from public.tasks t using public.workers w;",
    "one in a branch": "if 1 > 2 then update public.tasks set message = 'x'; end if;",
    "one in a loop's query": "for r in delete from public.tasks returning * loop null; end loop;",
    "one in a with": "for r in with d as (delete from public.tasks returning *) select * from d loop null; end loop;",
    "one after an error": "begin null; exception when others then delete from public.tasks; end;",
    "one that is put together": "execute 'delete from ' || 'public.tasks';",
}
INJECTED_SQL = {
    "the second of two": "select 1; delete from public.tasks returning 1",
    "one in a with": "with d as (update public.tasks set message = 'x' returning 1 as one) select one from d",
}
SOUND = """
declare r record; n int := 5; begin
    n := (select count(*) from public.tasks);
    update public.tasks set message = 'x' where task_id is null;
    with d as (delete from public.tasks where task_id is null returning *) select count(*) into n from d;
    for r in select * from public.tasks for update loop n := n + 1; end loop;
    return n;
end
"""


class _Writes(Visitor):
    """Collects updates and deletes without a condition anywhere in a statement."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def visit_UpdateStmt(self, _ancestors: Any, node: ast.UpdateStmt) -> None:  # noqa: N802  (pglast's name)
        if node.whereClause is None:
            self.found.append("UPDATE")

    def visit_DeleteStmt(self, _ancestors: Any, node: ast.DeleteStmt) -> None:  # noqa: N802  (pglast's name)
        if node.whereClause is None:
            self.found.append("DELETE")


def unsafe_writes(function: asyncpg.Record) -> list[str]:
    """The statements of a function that pg-safeupdate would refuse, and its dynamic statements."""
    if function["language"] == "sql":
        return _unsafe(function["body"])
    parsed = parse_plpgsql(function["definition"])
    dynamic = ["EXECUTE" for kind, _ in _nodes(parsed) if kind == "PLpgSQL_stmt_dynexecute"]
    texts = [
        node["query"] for kind, node in _nodes(parsed) if kind == "PLpgSQL_expr" and node["parseMode"] == STATEMENT
    ]
    return dynamic + [found for text in texts for found in _unsafe(text)]


def _unsafe(sql: str) -> list[str]:
    writes = _Writes()
    writes(parse_sql(sql))
    return writes.found


def _nodes(tree: Any) -> Iterator[tuple[str, Any]]:
    children = tree.items() if isinstance(tree, dict) else [("", child) for child in tree]
    for kind, child in children:
        if isinstance(child, dict | list):
            yield kind, child
            yield from _nodes(child)


async def test_no_function_writes_without_a_condition(database: asyncpg.Connection) -> None:
    functions = await database.fetch(FUNCTIONS)
    assert len(functions) > 15
    assert {f["name"]: found for f in functions if (found := unsafe_writes(f))} == {}


async def function_with(database: asyncpg.Connection, language: str, body: str) -> asyncpg.Record:
    """The catalog's form of a function with this body."""
    change = database.transaction()
    await change.start()
    await database.execute(
        f"create function public.unsafe_function() returns int language {language} as $fault${body}$fault$"
    )
    (function,) = [found for found in await database.fetch(FUNCTIONS) if found["name"].endswith("unsafe_function()")]
    await change.rollback()
    return function


@pytest.mark.parametrize("body", INJECTED_PLPGSQL.values(), ids=INJECTED_PLPGSQL)
async def test_the_check_finds_an_injected_fault_in_plpgsql(database: asyncpg.Connection, body: str) -> None:
    text = f"declare r record; begin {body} return 1; end"
    assert len(unsafe_writes(await function_with(database, "plpgsql", text))) == 1


@pytest.mark.parametrize("body", INJECTED_SQL.values(), ids=INJECTED_SQL)
async def test_the_check_finds_an_injected_fault_in_sql(database: asyncpg.Connection, body: str) -> None:
    assert len(unsafe_writes(await function_with(database, "sql", body))) == 1


async def test_the_check_accepts_safe_statements(database: asyncpg.Connection) -> None:
    assert unsafe_writes(await function_with(database, "plpgsql", SOUND)) == []


@pytest.mark.parametrize(
    ("language", "body"),
    [("sql", "delete from public.workers returning 1"), ("plpgsql", "begin delete from public.workers; return 1; end")],
)
async def test_the_real_safeupdate_module_refuses_such_a_function(
    stack: Ready, database: asyncpg.Connection, language: str, body: str
) -> None:
    if not await database.fetchval(LOADED):
        pytest.skip("this PostgreSQL has no pg-safeupdate (its package, or safeupdate.so in its library folder)")
    await database.execute(
        f"create function public.unsafe_function() returns int language {language} as $fault${body}$fault$;"
        "grant execute on function public.unsafe_function() to service_role"
    )
    try:
        await schema_is_read(database, f"{stack.url}/rest/v1")
        async with httpx.AsyncClient(headers={"apikey": stack.secret_key}, trust_env=False) as http:
            answer = await http.post(f"{stack.url}/rest/v1/rpc/unsafe_function")
        assert (answer.status_code, answer.json()["code"]) == (400, "21000")
    finally:
        await database.execute("drop function public.unsafe_function()")
