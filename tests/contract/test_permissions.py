"""With the keys of browsers, nothing can be read, written or called; the objects come from the catalog."""

import asyncpg
import httpx
import pytest

from embedded.stack import Ready
from tests.support.tasks import insert_tasks

TABLES = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')"
WHAT_A_USER_MAY = {("readers", "select"), ("digests", "select"), ("reader_papers", "select")}
"""Rights of signed-in users, limited by row security: see `tests/contract/test_user_rights.py` for rows and columns."""
CHECKS = {
    *(
        "text_is_valid",
        "texts_are_valid",
        "count_is_valid",
        "profile_is_valid",
        "is_mail_address",
        "weekdays_are_valid",
    ),
    *("timezone_is_known", "timezone_problem", "next_occurrence", "latest_occurrence", "schedule_now"),
}
"""The checks that a user's write calls; none of them reads a table."""
FUNCTIONS = "select oid::regprocedure::text from pg_proc where pronamespace = 'public'::regnamespace"


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_roles_can_use_only_granted_tables_and_functions(role: str, database: asyncpg.Connection) -> None:
    user = role == "authenticated"
    tables = [found[0] for found in await database.fetch(TABLES)]
    functions = [found[0] for found in await database.fetch(FUNCTIONS)]
    assert {"tasks", "workers", "editions", "articles", "cache_entries", "circuit_breakers"} <= set(tables)
    assert len(functions) > 15
    for table in tables:
        for right in ("select", "insert", "update", "delete", "truncate"):
            allowed = await database.fetchval("select has_table_privilege($1, $2, $3)", role, f"public.{table}", right)
            assert allowed is (user and (table, right) in WHAT_A_USER_MAY), f"{role} may {right} {table}"
        assert await database.fetchval(
            "select relrowsecurity or reloptions @> '{security_invoker=on}' from pg_class where oid = $1::regclass",
            f"public.{table}",
        )
    for function in functions:
        allowed = await database.fetchval("select has_function_privilege($1, $2, 'execute')", role, function)
        assert allowed is (user and function.partition("(")[0].removeprefix("public.") in CHECKS), function


async def test_functions_are_security_invoker_with_empty_search_path(database: asyncpg.Connection) -> None:
    loose = await database.fetch(
        "select proname from pg_proc where pronamespace = 'public'::regnamespace"
        " and (prosecdef or not coalesce('search_path=\"\"' = any(proconfig), false))"
    )
    assert [found["proname"] for found in loose] == []


async def test_the_servers_role_needs_no_more_than_it_is_granted(database: asyncpg.Connection) -> None:
    for (function,) in await database.fetch(FUNCTIONS):
        assert await database.fetchval("select has_function_privilege('service_role', $1, 'execute')", function)


async def test_over_http_the_anon_key_can_read_and_call_nothing(stack: Ready, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 3)
    headers = {"apikey": stack.anon_key, "authorization": f"Bearer {stack.anon_key}"}
    async with httpx.AsyncClient(base_url=f"{stack.url}/rest/v1", headers=headers, trust_env=False) as http:
        read = await http.get("/tasks")
        written = await http.patch("/tasks?status=eq.pending", json={"status": "completed"})
        called = await http.post("/rpc/queue_stats", json={})
    assert [answer.status_code for answer in (read, written, called)] == [401, 401, 401]
    assert await database.fetchval("select count(*) from public.tasks where status is null") == 3
