"""The gateway under load: large bodies, no free connection, slow or disconnected clients, and database restarts."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import jwt
import pytest
import pytest_asyncio

from embedded.postgrest.auth import Keys
from embedded.postgrest.catalog import Catalog, read_catalog
from embedded.postgrest.database import Database
from embedded.postgrest.gateway import Gateway
from embedded.postgrest.limits import GatewayLimits
from embedded.stack import Ready, Stack, StackOptions
from tests.support.gateway import BLOCKED_REQUESTS, eventually
from tests.support.schema_cache import schema_is_read

pytestmark = pytest.mark.asyncio(loop_scope="module")

POOL = 2
LIMITS = GatewayLimits(pool_within=0.3, reload_after=0.02)
SCHEMA = """
create table public.notes (id int primary key, body text, extra jsonb);
create table public.nothing (id int);
create function public.wait_for_key() returns int language sql as 'select 1 from pg_advisory_xact_lock(1)';
create function public.setting(p_name text) returns text language sql as 'select current_setting(p_name)';
grant usage on schema public to service_role;
grant all on public.notes, public.nothing to service_role;
"""
BODY = "returns int language sql as 'select 1'"
OPEN_CONNECTIONS = "select count(*) from pg_stat_activity where usename = 'authenticator' and state <> 'idle'"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(own_folder: Path) -> AsyncIterator[Stack]:
    stack = Stack(StackOptions(own_folder, port=0, durable=False, pool_size=POOL, limits=LIMITS))
    await stack.start()
    yield stack
    await stack.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def database(ready: Ready) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(ready.database_url)
    await connection.execute("drop schema public cascade; create schema public;" + SCHEMA)
    await schema_is_read(connection, f"{ready.url}/rest/v1")
    yield connection
    await connection.close()


def body_of(size: int) -> bytes:
    """20,000 rows in exactly `size` bytes."""
    rows = [{"id": number, "body": "x" * 900} for number in range(20_000)]
    missing = size - len(json.dumps(rows))
    rows[0]["body"] = "x" * (900 + missing)
    return json.dumps(rows).encode()


async def test_it_accepts_20_000_rows_in_20_megabytes(http: httpx.AsyncClient, database: asyncpg.Connection) -> None:
    answer = await http.post("/notes", content=body_of(LIMITS.body))
    assert answer.status_code == 201, answer.text
    assert tuple(await database.fetchrow("select count(*), count(distinct id) from notes")) == (20_000, 20_000)


@pytest.mark.parametrize("announced", [True, False])
async def test_it_refuses_a_larger_body(http: httpx.AsyncClient, database: asyncpg.Connection, announced: bool) -> None:
    body = body_of(LIMITS.body + 1)

    async def in_parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1_000_000):
            yield body[start : start + 1_000_000]

    answer = await http.post("/notes", content=body if announced else in_parts())
    assert answer.status_code == 413
    assert "larger than 20000000 bytes" in answer.json()["message"]
    assert await database.fetchval("select count(*) from notes") == 0
    assert (await http.get("/notes")).json() == []


async def test_without_a_free_connection_it_returns_504(http: httpx.AsyncClient, database: asyncpg.Connection) -> None:
    await database.execute("select pg_advisory_lock(1)")
    waiting = [asyncio.create_task(http.post("/rpc/wait_for_key")) for _ in range(POOL)]
    await eventually(lambda: database.fetchval(BLOCKED_REQUESTS), POOL)
    answer = await http.get("/notes")
    assert (answer.status_code, answer.json()["code"]) == (504, "PGRST003")
    await database.execute("select pg_advisory_unlock(1)")
    assert [(await task).status_code for task in waiting] == [200] * POOL
    assert (await http.get("/notes")).status_code == 200


async def test_a_notification_reloads_the_schema_cache(http: httpx.AsyncClient, database: asyncpg.Connection) -> None:
    async def status() -> int:
        return (await http.get("/nothing", params={"id": "eq.a"})).status_code

    async def before_reload() -> int:
        """No operator compares the text with the column's former number type."""
        await database.execute("alter table nothing alter id type int using null::int")
        await database.execute("notify pgrst, 'reload schema'")
        await eventually(status, 400)
        await database.execute("alter table nothing alter id type text")
        return await status()

    # A reload from an earlier test may arrive in between.
    await eventually(before_reload, 404)
    await database.execute("notify pgrst, 'reload schema'")
    await eventually(status, 200)


@pytest.mark.parametrize(
    ("change", "undo", "path", "unknown"),
    [
        (
            "create table newest (id int); grant select on newest to service_role",
            "drop table newest",
            "/newest",
            "42P01",
        ),
        ("alter table nothing add more int", "alter table nothing drop more", "/nothing?more=eq.1", "42703"),
        (
            "create function newest() returns int language sql stable as 'select 2'",
            "drop function newest()",
            "/rpc/newest",
            "PGRST202",
        ),
    ],
)
async def test_a_schema_change_is_visible_after_the_reload(
    http: httpx.AsyncClient, database: asyncpg.Connection, change: str, undo: str, path: str, unknown: str
) -> None:
    await database.execute("alter event trigger pgrst_ddl_watch disable")

    async def before_reload() -> str:
        await schema_is_read(database, str(http.base_url).rstrip("/"))
        await database.execute(change)
        answer = await http.get(path)
        if answer.is_success:
            await database.execute(undo)
            return ""
        return str(answer.json()["code"])

    # A reload for an earlier notification may arrive in between.
    await eventually(before_reload, unknown)
    await database.execute("alter event trigger pgrst_ddl_watch enable")

    async def status() -> int:
        return (await http.get(path)).status_code

    await database.execute("comment on table notes is 'a change that tells of itself, and so of the other'")
    await eventually(status, 200)


class Slow(asyncpg.Connection):  # type: ignore[misc]  # (asyncpg has no types)
    """Another session changes the schema between its queries."""

    other: asyncpg.Connection

    async def fetch(self, query: str, *arguments: Any, **options: Any) -> Any:
        rows = await super().fetch(query, *arguments, **options)
        await self.other.execute("create table if not exists late (id int); create or replace function late() " + BODY)
        return rows


async def test_the_schema_is_read_in_one_snapshot(ready: Ready, database: asyncpg.Connection) -> None:
    slow = await asyncpg.connect(ready.database_url, connection_class=Slow)
    slow.other = database
    for known in (False, True):
        read = await read_catalog(slow)
        functions = {function.name for function in read.functions}
        assert ("late" in read.relations, "late" in functions) == (known, known)
    await slow.close()


async def test_new_columns_are_read_at_once(http: httpx.AsyncClient, database: asyncpg.Connection) -> None:
    await http.post("/notes", json={"id": 1})
    await database.execute("alter table notes add more int default 7; alter table notes drop body")
    assert (await http.get("/notes")).json() == [{"id": 1, "extra": None, "more": 7}]


async def test_statements_end_after_8_seconds(http: httpx.AsyncClient) -> None:
    assert (await http.post("/rpc/setting", json={"p_name": "statement_timeout"})).json() == "8s"


async def test_a_request_leaves_no_state_on_its_connection(
    http: httpx.AsyncClient, ready: Ready, database: asyncpg.Connection
) -> None:
    await database.execute("grant usage on schema public to anon")
    for name in ("role", "request.jwt.claims"):
        seen = set()
        for key in (ready.service_role_key, ready.anon_key) * POOL:
            bearer = {"apikey": key, "authorization": f"Bearer {key}"}
            seen.add((await http.post("/rpc/setting", json={"p_name": name}, headers=bearer)).text)
        assert len(seen) == 2


async def test_a_disconnected_client_holds_no_transaction(
    ready: Ready, http: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    await database.execute("select pg_advisory_lock(1)")
    _, writer = await asyncio.open_connection("127.0.0.1", port_of(ready))
    writer.write(head(ready, "/rpc/wait_for_key", 2) + b"{}")
    await eventually(lambda: database.fetchval(BLOCKED_REQUESTS), 1)
    writer.transport.abort()
    await database.execute("select pg_advisory_unlock(1)")
    await eventually(lambda: database.fetchval(OPEN_CONNECTIONS), 0)
    assert (await http.get("/notes")).status_code == 200


async def test_a_slow_body_holds_no_connection(
    ready: Ready, http: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    body = b'[{"id": 1}]'
    slow = [await asyncio.open_connection("127.0.0.1", port_of(ready)) for _ in range(POOL + 1)]
    for _, writer in slow:
        writer.write(head(ready, "/notes", len(body)) + body[:5])
        await writer.drain()
    assert (await http.get("/notes")).status_code == 200
    assert await database.fetchval(OPEN_CONNECTIONS) == 0
    for number, (reader, writer) in enumerate(slow):
        writer.write(body[5:])
        expected = b"201" if number == 0 else b"409"
        assert (await reader.readline()).split()[1] == expected
        writer.close()


async def test_a_body_that_does_not_arrive_times_out(ready: Ready) -> None:
    async def never() -> dict[str, Any]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    database = Database(ready.database_url, 1, LIMITS.pool_within)
    gateway = Gateway(database, Catalog(), Keys("s" * 32), GatewayLimits(body_within=0.01))
    scope = {"type": "http", "method": "POST", "path": "/rest/v1/notes", "query_string": b"", "headers": []}
    await gateway(scope, never, send)
    assert sent[0]["status"] == 408
    assert "did not arrive within 0.01 s" in sent[1]["body"].decode()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/notes", {"prefer": "tx=rollback"}),
        ("/notes", {"prefer": "handling=strict"}),
        ("/notes", {"prefer": "return=everything"}),
        ("/notes?id=5", {}),
        ("/notes?id=fts.5", {}),
        ("/notes?id=eq(any).{5}", {}),
        ("/notes?nope=eq.5", {}),
        ("/notes?id=is.5", {}),
        ("/notes?id=in.5", {}),
        ("/notes?select=other(*)", {}),
        ("/notes?select=id.sum()", {}),
        ("/notes?select=id::regclass", {}),
        ("/notes?select=id&select=body", {}),
        ("/notes?limit=1&limit=2", {}),
        ("/notes?other.id=eq.5", {}),
        ("/notes?other.limit=5", {}),
        ("/notes?order=id.sideways", {}),
        ("/notes?order=other(id)", {}),
        ("/notes?or=id.eq.5", {}),
        ("/notes?or=(id.eq.5", {}),
        ("/notes?or=()", {}),
    ],
)
async def test_it_refuses_unsupported_requests(http: httpx.AsyncClient, path: str, headers: dict[str, str]) -> None:
    answer = await http.get(path, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"]


@pytest.mark.parametrize("path", ["/notes?columns=", "/notes?columns=nope", "/notes?on_conflict=nope"])
async def test_it_refuses_unknown_columns_in_writes(http: httpx.AsyncClient, path: str) -> None:
    prefer = {"prefer": "resolution=merge-duplicates"}
    answer = await http.post(path, json={"id": 1}, headers=prefer)
    assert answer.status_code == 400, answer.text
    assert (await http.get("/notes")).json() == []


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("limit", ["limit=1&order=id", "offset=1"])
async def test_it_refuses_a_limit_on_a_write(http: httpx.AsyncClient, method: str, limit: str) -> None:
    rows = [{"id": number, "body": None, "extra": None} for number in range(3)]
    await http.post("/notes", json=rows)
    answer = await http.request(method, f"/notes?{limit}", json={"body": "x"})
    assert answer.status_code == 400, answer.text
    assert (await http.get("/notes?order=id")).json() == rows


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "POST"])
async def test_a_single_row_write_of_several_rows_changes_nothing(http: httpx.AsyncClient, method: str) -> None:
    rows = [{"id": number, "body": None, "extra": None} for number in range(3)]
    await http.post("/notes", json=rows)
    one = {"accept": "application/vnd.pgrst.object+json", "prefer": "return=representation"}
    body: Any = [{"id": 7}, {"id": 8}] if method == "POST" else {"body": "x"}
    answer = await http.request(method, "/notes?id=lt.9", json=body, headers=one)
    assert (answer.status_code, answer.json()["code"]) == (406, "PGRST116")
    assert (await http.get("/notes?order=id")).json() == rows


@pytest.mark.parametrize("claims", [{"role": "postgres"}, {"role": "service_role", "exp": 1}, {"role": ["anon"]}])
async def test_it_refuses_unknown_roles_and_expired_tokens(
    own_folder: Path, http: httpx.AsyncClient, claims: dict[str, Any]
) -> None:
    secret = (own_folder / "jwt-secret").read_text()
    token = jwt.encode(claims, secret, algorithm="HS256")
    assert (await http.get("/notes", headers={"authorization": f"Bearer {token}"})).status_code == 401


async def test_it_refuses_wrongly_signed_and_unsigned_tokens(http: httpx.AsyncClient) -> None:
    for token in (
        jwt.encode({"role": "service_role"}, "o" * 32, algorithm="HS256"),
        jwt.encode({"role": "service_role"}, "", algorithm="none"),
        "sb_secret_is_no_token",
    ):
        answer = await http.get("/notes", headers={"authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["code"]) == (401, "PGRST301")


async def test_it_recovers_when_the_database_restarts(stack: Stack, ready: Ready, http: httpx.AsyncClient) -> None:
    assert (await http.post("/notes", json={"id": 1})).status_code == 201
    restart = asyncio.create_task(stack.server.restart())
    while not restart.done():
        assert (await http.get("/notes")).status_code in {200, 400, 503}
    await restart
    await eventually(lambda: status_of(http.get("/notes")), 200)
    assert (await http.get("/notes?select=id")).json() == [{"id": 1}]
    connection = await asyncpg.connect(ready.database_url)
    await connection.execute("alter table nothing alter id type text")

    async def reloaded() -> int:
        await connection.execute("notify pgrst, 'reload schema'")
        return (await http.get("/nothing?id=eq.a")).status_code

    await eventually(reloaded, 200)
    await connection.close()


async def test_the_gateway_restarts_on_its_port(stack: Stack, http: httpx.AsyncClient) -> None:
    await http.post("/notes", json={"id": 1})
    await stack.stop_gateway()
    with pytest.raises(httpx.TransportError):
        await http.get("/notes")
    await stack.start_gateway()
    assert (await http.get("/notes?select=id")).json() == [{"id": 1}]


async def status_of(request: Awaitable[httpx.Response]) -> int:
    return (await request).status_code


def port_of(ready: Ready) -> int:
    return int(ready.url.rpartition(":")[2])


def head(ready: Ready, path: str, length: int) -> bytes:
    lines = (f"POST /rest/v1{path} HTTP/1.1", "host: x", f"apikey: {ready.secret_key}", f"content-length: {length}")
    return "\r\n".join((*lines, "", "")).encode()
