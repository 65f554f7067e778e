"""A front end without the API: the rights of a Supabase Auth user's token over HTTP, for each table."""

import json
from datetime import datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.persistence.reader_papers import PaperInput, ReaderPapers
from app.persistence.readers import Reader, Readers
from embedded.stack import Ready
from tests.contract.users import as_user
from tests.support.feedback import rate
from tests.support.schedule import Clock, add_reader, enqueued, write_digests
from tests.support.tasks import insert_tasks

OWN = {
    "profile": {"interests": ["graphs"], "exclude": ["hype"]},
    "timezone": "Pacific/Auckland",
    "send_at": "06:30:00",
    "weekdays": [1, 3],
    "when_empty": "notify",
}
"""The columns that a user may change, each with a valid value."""
JUNK_PROFILES: list[Any] = [[], "x", None, {"interests": "x"}, {"interests": [1]}, {"interests": [""]}]
BAD: list[dict[str, Any]] = [
    *({"profile": bad} for bad in JUNK_PROFILES),
    *({"profile": {"interests": bad}} for bad in (["\u2003"], ["x" * 101], ["x"] * 31, [None], {"a": 1})),
    *({"profile": bad} for bad in ({"name": "x"}, {"max_papers": 51}, {"max_papers": 1.5}, {"max_news": "6"})),
    *({"profile": bad} for bad in ({"title": None}, {"title": "x" * 201}, {"goals": 1}, {"categories": ["CS.LG"]})),
    *({"timezone": bad} for bad in ("Nowhere/Land", "CET", "", None, "x" * 10_000)),
    *({"send_at": bad} for bad in ("24:00", "06:30:01", "soon", None)),
    *({"weekdays": bad} for bad in ([], [0], [8], [1, 1], [None], [[1, 2]], None, "x")),
    {"when_empty": "both"},
]


@pytest.fixture
async def two_users(client: AsyncClient, database: asyncpg.Connection, clock: Clock) -> tuple[Reader, Reader]:
    """Two readers with a user, a digest, a delivery and a paper each, and rows that only the server may read."""
    await clock.set("2026-11-24T06:00:00Z")
    ada, bob = [
        await add_reader(client, name=name, user_id=str(uuid4()), email=f"{name}@example.org", welcome=True)
        for name in ("ada", "bob")
    ]
    await clock.set("2026-11-24T07:00:00Z")
    await enqueued(client, database)
    assert await write_digests(client, "T") == 2
    await insert_tasks(database, 3)
    for reader in (ada, bob):
        await rate(ReaderPapers(client), reader.reader_id, PaperInput(keys=("doi:10.1/x",), doi="10.1/x"), True)
    return ada, bob


async def test_a_user_reads_only_their_own_reader_digests_and_papers(
    stack: Ready, database: asyncpg.Connection, two_users: tuple[Reader, Reader]
) -> None:
    ada, _ = two_users
    tables = await relations(database)
    assert {"readers", "readers_private", "digests", "deliveries", "tasks", "task_records"} <= set(tables)
    async with as_user(stack, ada.user_id) as http:
        for table in tables:
            read = await http.get(f"/{table}")
            if table in {"readers", "digests", "reader_papers"}:
                assert [row["reader_id"] for row in read.json()] == [str(ada.reader_id)]
            else:
                assert read.status_code == 403, table


@pytest.mark.parametrize("signed_in", [True, False])
async def test_a_user_cannot_write_rows_of_the_server_or_of_others(
    stack: Ready, database: asyncpg.Connection, two_users: tuple[Reader, Reader], signed_in: bool
) -> None:
    ada, bob = two_users
    before = await everything_of(database)
    role = "authenticated" if signed_in else "anon"
    async with as_user(stack, ada.user_id if signed_in else None) as http:
        for table in await relations(database):
            columns = [str(found["attname"]) for found in await columns_of(database, table)]
            # A role without any privilege on a table is refused before the column matters.
            for column in columns if await may_write(database, role, table) else columns[:1]:
                await http.patch(f"/{table}?{column}=not.is.null", json={column: None})
                await http.patch(f"/{table}?reader_id=eq.{bob.reader_id}", json={column: OWN.get(column)})
                if table != "readers" or column not in OWN:
                    await http.patch(f"/{table}?{column}=not.is.null", json={column: str(uuid4())})
            await http.delete(f"/{table}?{columns[0]}=not.is.null")
            await http.post(f"/{table}", json={columns[0]: str(uuid4())})
        await http.post("/readers", json={"name": "Eve", "user_id": str(ada.user_id)})
        for (function,) in await database.fetch(
            "select proname from pg_proc where pronamespace = 'public'::regnamespace and proname ~ '^[a-z]'"
        ):
            await http.post(f"/rpc/{function}", json={})
    assert await everything_of(database) == before


async def test_an_anonymous_caller_reads_nothing(
    stack: Ready, database: asyncpg.Connection, two_users: tuple[Reader, Reader]
) -> None:
    assert two_users
    async with as_user(stack, None) as http:
        for table in await relations(database):
            assert (await http.get(f"/{table}")).status_code == 401


async def test_a_user_can_change_their_own_profile_and_schedule(
    stack: Ready, client: AsyncClient, two_users: tuple[Reader, Reader]
) -> None:
    ada, bob = two_users
    async with as_user(stack, ada.user_id) as http:
        # The filter matches all rows: only row security limits the change to the user's row.
        answer = await http.patch(
            "/readers?reader_id=not.is.null", json=OWN, headers={"prefer": "return=representation"}
        )
    assert [row["reader_id"] for row in answer.json()] == [str(ada.reader_id)]
    changed = await Readers(client).get(ada.reader_id)
    assert changed.profile.exclude == ("hype",)
    # The next Wednesday or Monday at 06:30 local time, by the schedule's clock.
    assert changed.next_due_at == datetime.fromisoformat("2026-11-24T17:30:00Z")
    assert changed.weekdays == (1, 3)
    assert await Readers(client).get(bob.reader_id) == await Readers(client).get(bob.reader_id)
    assert (await Readers(client).get(bob.reader_id)).timezone == "Europe/Berlin"


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: json.dumps(bad)[:40])
async def test_the_database_refuses_invalid_values_from_a_user(
    stack: Ready, client: AsyncClient, bad: dict[str, Any]
) -> None:
    ada = await add_reader(client, user_id=str(uuid4()))
    async with as_user(stack, ada.user_id) as http:
        answer = await http.patch("/readers?reader_id=not.is.null", json=bad)
    assert answer.status_code == 400, answer.text
    assert await Readers(client).get(ada.reader_id) == ada


async def relations(database: asyncpg.Connection) -> list[str]:
    rows = await database.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'p', 'm')"
    )
    return [str(row["relname"]) for row in rows]


async def may_write(database: asyncpg.Connection, role: str, table: str) -> bool:
    """Whether a role may write at least one column of a table, by any grant."""
    query = "select has_any_column_privilege($1, $2::regclass, 'insert, update')"
    return bool(await database.fetchval(query, role, f"public.{table}"))


async def columns_of(database: asyncpg.Connection, table: str) -> list[asyncpg.Record]:
    found: list[asyncpg.Record] = await database.fetch(
        "select attname from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped"
        " order by attnum",
        f"public.{table}",
    )
    return found


async def everything_of(database: asyncpg.Connection) -> dict[str, list[Any]]:
    return {
        table: await database.fetch(f"select * from public.{table} t order by t::text")
        for table in await relations(database)
    }
