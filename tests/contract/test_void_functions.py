"""Exactly the calls of functions that return void in the schema accept an empty response."""

import asyncpg

from tests.support.void_functions import CALLS, VOID, function_of

RETURNS_VOID = "select p.proname from pg_catalog.pg_proc p where p.prorettype = 'void'::regtype"


async def test_calls_without_a_result_are_those_of_void_functions(database: asyncpg.Connection) -> None:
    called = {function_of(case) for case in CALLS}
    assert {row[0] for row in await database.fetch(RETURNS_VOID)} & called == VOID
