"""The schema that the migrations create: rules for every table and function, and no object twice."""

import asyncpg
import pytest

RULES = {
    "a table has row security": """
        select relname from pg_class
         where relnamespace = 'public'::regnamespace and relkind = 'r' and not relrowsecurity""",
    "a function has an empty search_path": """
        select proname from pg_proc
         where pronamespace = 'public'::regnamespace
           and not coalesce('search_path=""' = any (proconfig), false)""",
    "a function runs as its caller": """
        select proname from pg_proc where pronamespace = 'public'::regnamespace and prosecdef""",
    "a function has one signature": """
        select proname from pg_proc where pronamespace = 'public'::regnamespace group by 1 having count(*) > 1""",
    "a setting of a function is set once": """
        select proname from pg_proc cross join lateral unnest(proconfig) as c(setting)
         where pronamespace = 'public'::regnamespace
         group by oid, proname, split_part(setting, '=', 1) having count(*) > 1""",
    "a table has no constraint twice": """
        select conrelid::regclass::text from pg_constraint
         where connamespace = 'public'::regnamespace
         group by conrelid, pg_get_constraintdef(oid) having count(*) > 1""",
    "a table has no index twice": """
        select indrelid::regclass::text from pg_index join pg_class on oid = indexrelid
         where relnamespace = 'public'::regnamespace
         group by indrelid, indkey::text, coalesce(pg_get_expr(indpred, indrelid), ''),
                  coalesce(pg_get_expr(indexprs, indrelid), ''), indoption::text having count(*) > 1""",
}


@pytest.mark.parametrize("rule", RULES)
async def test_the_applied_schema_protects_functions_and_tables(rule: str, database: asyncpg.Connection) -> None:
    rows = await database.fetch(RULES[rule])
    assert [row[0] for row in rows] == []
