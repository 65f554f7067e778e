"""`supabase/tests`, which `supabase test db` runs: they pass on the emulator and find what is added on purpose."""

from collections.abc import Iterator

import pytest

from embedded.stack import Ready
from tests.support.pgtap import TESTS, Tap, pgtap, pgtap_sql

INJECTED = {
    "a table without row security": (
        "row_security.sql",
        "create table public.injected (n int)",
        {"every table has row security"},
    ),
    "row security switched off": (
        "row_security.sql",
        "alter table public.tasks disable row level security",
        {"every table has row security"},
    ),
    "a view with its owner's rights": (
        "row_security.sql",
        "create view public.injected as select task_id from public.tasks",
        {"every view has the rights of its caller"},
    ),
    "a materialized view": (
        "row_security.sql",
        "create materialized view public.injected as select 1 as n",
        {"nothing is readable without row security"},
    ),
    "a policy": (
        "row_security.sql",
        "create policy injected on public.tasks for select to authenticated using (true)",
        {"only these policies exist"},
    ),
    "a policy for all rows": (
        "row_security.sql",
        "drop policy own_reader_read on public.readers;"
        "create policy own_reader_read on public.readers for select to authenticated using (true)",
        {"without a sign-in, no reader is seen", "users see their own reader"},
    ),
    "a policy to change all rows": (
        "row_security.sql",
        "drop policy own_reader_read on public.readers; drop policy own_reader_change on public.readers;"
        "create policy own_reader_read on public.readers for select to authenticated using (true);"
        "create policy own_reader_change on public.readers for update to authenticated using (true)",
        {"users cannot change the profile of others"},
    ),
    "a table for anon": ("row_security.sql", "grant select on public.tasks to anon", {"anon cannot read tasks"}),
    "an address that users change": (
        "row_security.sql",
        "grant update (email) on public.readers to authenticated",
        {"users cannot change their address"},
    ),
    "a grant to anon": ("grants.sql", "grant insert on public.tasks to anon", {"anon has no right on any table"}),
    "a grant of a column": (
        "grants.sql",
        "grant select (link_generation) on public.readers_private to anon",
        {"anon has no right on any column"},
    ),
    "a grant to everybody": (
        "grants.sql",
        "grant trigger on public.tasks to public",
        {"nothing is granted to everybody"},
    ),
    "a table for users": (
        "grants.sql",
        "grant select on public.deliveries to authenticated",
        {"users read three tables, as their policies allow"},
    ),
    "a column for users": (
        "grants.sql",
        "grant update (status) on public.readers to authenticated",
        {"users change only their preferences and schedule"},
    ),
    "a sequence": (
        "grants.sql",
        "create sequence public.injected; grant usage on sequence public.injected to anon",
        {"no sequence can be used from browsers"},
    ),
    "a function for everybody": (
        "grants.sql",
        "create function public.injected() returns int language sql set search_path = '' as 'select 1'",
        {"anon can execute no function"},
    ),
    "a function for users": (
        "grants.sql",
        "grant execute on function public.queue_stats to authenticated",
        {"users can execute only the checks of their own changes"},
    ),
    "a function without the server": (
        "grants.sql",
        "revoke execute on function public.queue_stats from service_role",
        {"the server can execute every function"},
    ),
    "a table without the server": (
        "grants.sql",
        "revoke delete on public.tasks from service_role",
        {"the server reads and writes every table"},
    ),
    "a function with its owner's rights": (
        "grants.sql",
        "alter function public.queue_stats security definer",
        {"every function has the rights of its caller"},
    ),
    "a function with a search_path": (
        "grants.sql",
        "alter function public.queue_stats set search_path = public",
        {"every function has an empty search_path"},
    ),
    "a schema to create in": (
        "grants.sql",
        "grant create on schema public to authenticated",
        {"nothing can be created from browsers"},
    ),
}
"""A change of the schema, and assertions that must then fail."""


@pytest.fixture(scope="module")
def tap(stack: Ready) -> Iterator[Tap]:
    sql = pgtap_sql()
    if sql is None:
        pytest.skip("pgTAP is not installed (Debian: postgresql-15-pgtap)")
    with pgtap(stack.database_url, sql) as tap:
        yield tap


@pytest.mark.parametrize("file", sorted(file.name for file in TESTS.iterdir()))
def test_the_files_of_supabase_tests_pass(file: str, tap: Tap) -> None:
    report = tap.run(file)
    assert report.failed == [], report.text
    assert len(report.passed) >= 10


@pytest.mark.parametrize("fault", INJECTED)
def test_an_injected_hole_is_found(fault: str, tap: Tap) -> None:
    file, change, names = INJECTED[fault]
    report = tap.run(file, change)
    assert names <= set(report.failed), report.text
