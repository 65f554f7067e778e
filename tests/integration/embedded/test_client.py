"""The project's own Supabase client on the emulator, with each kind of key."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from postgrest.exceptions import APIError
from postgrest.types import CountMethod
from supabase import AsyncClient

from app.client.factory import open_supabase
from embedded.stack import Ready
from tests.support.stack_process import settings_for

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04")


@pytest.fixture(params=["service_role_key", "secret_key"])
async def service(
    request: pytest.FixtureRequest,
    stack: Ready,
    database_reset: None,  # noqa: ARG001  (run first)
) -> AsyncIterator[AsyncClient]:
    async with open_supabase(settings_for(stack, getattr(stack, request.param))) as client:
        yield client


@pytest.fixture
async def anonymous(stack: Ready, database: asyncpg.Connection) -> AsyncIterator[AsyncClient]:
    await database.execute("insert into public.editions (source_date) values ('2026-01-01')")
    async with open_supabase(settings_for(stack, stack.anon_key)) as client:
        yield client


async def insert_days(client: AsyncClient) -> list[dict[str, Any]]:
    rows = [{"source_date": day, "counts": {"papers": number}} for number, day in enumerate(DAYS)]
    return (await client.table("editions").insert(rows).execute()).data


async def test_insert_returns_the_rows_with_defaults(service: AsyncClient) -> None:
    rows = await insert_days(service)
    assert [row["source_date"] for row in rows] == list(DAYS)
    assert {row["status"] for row in rows} == {"fetching"}


async def test_insert_of_an_existing_key_is_a_conflict(service: AsyncClient) -> None:
    await insert_days(service)
    with pytest.raises(APIError) as caught:
        await service.table("editions").insert({"source_date": DAYS[0]}).execute()
    assert caught.value.code == "23505"


async def test_upsert_updates_existing_rows_and_inserts_the_rest(
    service: AsyncClient, database: asyncpg.Connection
) -> None:
    await insert_days(service)
    rows = [{"source_date": DAYS[0], "status": "failed"}, {"source_date": "2026-02-01", "status": "partial"}]
    await service.table("editions").upsert(rows, on_conflict="source_date").execute()
    found = await database.fetch("select source_date::text, status, counts from editions where status <> 'fetching'")
    assert [tuple(row) for row in found] == [(DAYS[0], "failed", '{"papers": 0}'), ("2026-02-01", "partial", "{}")]


async def test_upsert_can_ignore_existing_rows(service: AsyncClient, database: asyncpg.Connection) -> None:
    await insert_days(service)
    row = {"source_date": DAYS[0], "status": "failed"}
    answer = await service.table("editions").upsert(row, ignore_duplicates=True).execute()
    assert answer.data == []
    assert await database.fetchval("select count(*) from editions where status = 'failed'") == 0


async def test_select_filters_orders_and_counts(service: AsyncClient) -> None:
    await insert_days(service)
    query = service.table("editions").select("source_date, papers:counts->papers", count=CountMethod.exact)
    answer = (
        await query.gte("source_date", DAYS[1]).neq("source_date", DAYS[2]).order("source_date", desc=True).execute()
    )
    assert answer.data == [{"source_date": DAYS[3], "papers": 3}, {"source_date": DAYS[1], "papers": 1}]
    assert answer.count == 2


async def test_select_accepts_lists_alternatives_and_ranges(service: AsyncClient) -> None:
    await insert_days(service)
    table = service.table("editions")
    chosen = await table.select("source_date").in_("source_date", [DAYS[0], DAYS[3]]).order("source_date").execute()
    assert [row["source_date"] for row in chosen.data] == [DAYS[0], DAYS[3]]
    either = f"source_date.eq.{DAYS[1]},source_date.eq.{DAYS[2]}"
    chosen = await table.select("source_date").or_(either).order("source_date").execute()
    assert [row["source_date"] for row in chosen.data] == [DAYS[1], DAYS[2]]
    chosen = await table.select("source_date").order("source_date").range(1, 2).execute()
    assert [row["source_date"] for row in chosen.data] == [DAYS[1], DAYS[2]]


async def test_update_changes_only_the_filtered_rows(service: AsyncClient, database: asyncpg.Connection) -> None:
    await insert_days(service)
    answer = await service.table("editions").update({"status": "completed"}).eq("source_date", DAYS[2]).execute()
    assert [row["source_date"] for row in answer.data] == [DAYS[2]]
    found = await database.fetch("select source_date::text from editions where status = 'completed'")
    assert [row["source_date"] for row in found] == [DAYS[2]]


async def test_delete_removes_only_the_filtered_rows(service: AsyncClient, database: asyncpg.Connection) -> None:
    await insert_days(service)
    answer = await service.table("editions").delete().lt("source_date", DAYS[2]).execute()
    assert sorted(row["source_date"] for row in answer.data) == [DAYS[0], DAYS[1]]
    found = await database.fetch("select source_date::text from editions order by 1")
    assert [row["source_date"] for row in found] == [DAYS[2], DAYS[3]]


async def test_rpc_returns_the_functions_result(service: AsyncClient) -> None:
    assert (await service.rpc("begin_edition", {"p_source_date": DAYS[0]}).execute()).data["source_date"] == DAYS[0]
    arguments = {"p_key": "k", "p_value": {"a": [1, None, "é"]}, "p_ttl_seconds": 60}
    await service.rpc("cache_put", arguments).execute()
    assert (await service.rpc("cache_get", {"p_key": "k"}).execute()).data["value"] == {"a": [1, None, "é"]}
    assert (await service.rpc("cache_get", {"p_key": "none"}).execute()).data is None


@pytest.mark.parametrize("table", ["editions", "articles", "tasks", "workers", "cache_entries", "circuit_breakers"])
async def test_the_anon_key_reads_nothing(anonymous: AsyncClient, table: str) -> None:
    with pytest.raises(APIError) as caught:
        await anonymous.table(table).select("*").execute()
    assert caught.value.code == "42501"


async def test_the_anon_key_changes_nothing(anonymous: AsyncClient, database: asyncpg.Connection) -> None:
    table = anonymous.table("editions")
    writes = (
        table.insert({"source_date": DAYS[1]}),
        table.upsert({"source_date": DAYS[0], "status": "failed"}),
        table.update({"status": "failed"}).eq("source_date", DAYS[0]),
        table.delete().eq("source_date", DAYS[0]),
        anonymous.rpc("begin_edition", {"p_source_date": DAYS[1]}),
    )
    for write in writes:
        with pytest.raises(APIError) as caught:
            await write.execute()
        assert caught.value.code == "42501"
    assert [tuple(row) for row in await database.fetch("select source_date::text, status from editions")] == [
        (DAYS[0], "fetching")
    ]


async def test_row_security_hides_rows_despite_a_grant(anonymous: AsyncClient, database: asyncpg.Connection) -> None:
    await database.execute("grant usage on schema public to anon; grant select on public.editions to anon")
    try:
        assert (await anonymous.table("editions").select("*").execute()).data == []
    finally:
        await database.execute("revoke select on public.editions from anon; revoke usage on schema public from anon")
