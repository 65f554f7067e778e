"""Special behaviour of a real project: row limit, crashes, writes without a condition, signed-in users."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import jwt
import pytest
import pytest_asyncio

from embedded.postgrest.limits import GatewayLimits
from embedded.stack import Ready, Stack, StackOptions
from tests.support.gateway import BLOCKED_REQUESTS, eventually
from tests.support.schema_cache import schema_is_read
from tests.support.stack_process import StackProcess, postgres_over

pytestmark = pytest.mark.asyncio(loop_scope="module")

POOL = 3
MAX_ROWS = 4
EMPTY = {"code": "", "details": None, "hint": None, "message": ""}
SCHEMA = """
create table public.notes (id int primary key, body text);
create function public.all_notes() returns setof public.notes language sql stable as
    'select * from public.notes order by id';
create function public.numbers() returns setof int language sql stable as 'select id from public.notes order by id';
create function public.pairs() returns table (id int) language sql stable as 'select id from public.notes order by id';
create function public.array_of_notes() returns json language sql stable as 'select json_agg(n) from public.notes n';
create function public.add_and_list() returns setof public.notes language sql as $$
    insert into public.notes select max(id) + 1 from public.notes returning *
$$;
create function public.same_json(p_value json, p_word text) returns json language sql immutable as
    $$ select json_build_object('value', p_value, 'word', p_word) $$;
create function public.same_jsonb(p_value jsonb, p_word text) returns jsonb language sql immutable as
    $$ select jsonb_build_object('value', p_value, 'word', p_word) $$;
create function public.wait_for_key() returns int language sql as 'select 1 from pg_advisory_xact_lock(1)';
create table public.drafts (owner uuid default auth.uid(), body text);
alter table public.drafts enable row level security;
create policy own on public.drafts to authenticated using (owner = auth.uid()) with check (owner = auth.uid());
grant usage on schema public to service_role, authenticated;
grant all on public.notes, public.drafts to service_role;
grant select, insert on public.drafts to authenticated;
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(own_folder: Path) -> AsyncIterator[Stack]:
    limits = GatewayLimits(max_rows=MAX_ROWS, reload_after=0)
    stack = Stack(StackOptions(own_folder, port=0, durable=False, pool_size=POOL, limits=limits))
    ready = await stack.start()
    connection = await asyncpg.connect(ready.database_url)
    await connection.execute(SCHEMA)
    await schema_is_read(connection, f"{ready.url}/rest/v1")
    await connection.close()
    yield stack
    await stack.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def database(ready: Ready) -> AsyncIterator[asyncpg.Connection]:
    """Exactly seven notes."""
    connection = await asyncpg.connect(ready.database_url)
    await connection.execute("truncate public.notes, public.drafts, auth.users")
    await connection.execute("insert into public.notes select n from generate_series(1, 7) n")
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    ("question", "headers", "ids", "content_range", "status"),
    [
        ("/notes?order=id", {}, [1, 2, 3, 4], "0-3/*", 200),
        ("/notes?order=id&limit=6", {}, [1, 2, 3, 4], "0-3/*", 200),
        ("/notes?order=id&limit=2", {}, [1, 2], "0-1/*", 200),
        ("/notes?order=id&limit=0", {}, [], "*/*", 200),
        ("/notes?order=id&offset=2", {}, [3, 4, 5, 6], "2-5/*", 200),
        ("/notes?order=id&offset=6", {}, [7], "6-6/*", 200),
        ("/notes?order=id", {"range": "1-6"}, [2, 3, 4, 5], "1-4/*", 200),
        ("/notes?order=id", {"range": "5-"}, [6, 7], "5-6/*", 200),
        ("/notes?order=id", {"prefer": "count=exact"}, [1, 2, 3, 4], "0-3/7", 206),
        ("/notes?order=id&id=lt.3", {"prefer": "count=exact"}, [1, 2], "0-1/2", 200),
        ("/rpc/all_notes", {}, [1, 2, 3, 4], "0-3/*", 200),
        ("/rpc/all_notes?offset=4", {"prefer": "count=exact"}, [5, 6, 7], "4-6/7", 206),
        ("/rpc/all_notes?id=gt.1", {"prefer": "count=exact"}, [2, 3, 4, 5], "0-3/6", 206),
        ("/rpc/pairs", {}, [1, 2, 3, 4], "0-3/*", 200),
    ],
)
async def test_reads_stop_at_the_row_limit(
    http: httpx.AsyncClient, question: str, headers: dict[str, str], ids: list[int], content_range: str, status: int
) -> None:
    answer = await http.get(question, headers=headers)
    assert (answer.status_code, answer.headers["content-range"]) == (status, content_range)
    assert [row["id"] for row in answer.json()] == ids


async def test_function_results_stop_at_the_row_limit(http: httpx.AsyncClient) -> None:
    assert (await http.get("/rpc/numbers")).json() == [1, 2, 3, 4]
    assert (await http.get("/rpc/numbers?limit=2&offset=1")).json() == [2, 3]
    assert len((await http.get("/rpc/array_of_notes")).json()) == 7
    for question, headers in (("id=eq.1", {}), ("order=id", {}), ("", {"prefer": "count=exact"})):
        assert (await http.get(f"/rpc/numbers?{question}", headers=headers)).status_code == 400


async def test_a_counted_call_of_a_function_happens_once(http: httpx.AsyncClient, database: asyncpg.Connection) -> None:
    answer = await http.post("/rpc/add_and_list", headers={"prefer": "count=exact"})
    assert answer.headers["content-range"] == "0-0/1"
    assert await database.fetchval("select count(*) from notes") == 8


async def test_writes_return_all_changed_rows(http: httpx.AsyncClient) -> None:
    whole = {"prefer": "return=representation"}
    inserted = await http.post("/notes", json=[{"id": number} for number in range(10, 16)], headers=whole)
    assert len(inserted.json()) == 6
    assert len((await http.patch("/notes?id=gte.10", json={"body": "x"}, headers=whole)).json()) == 6
    assert len((await http.delete("/notes?id=gte.10", headers=whole)).json()) == 6


@pytest.mark.parametrize(("arguments", "rows"), [([], 1000), (["--max-rows", "7"], 7)])
async def test_the_command_has_a_projects_row_limit_by_default(
    stack_folder: Path, arguments: list[str], rows: int
) -> None:
    folder = stack_folder / uuid4().hex
    (folder / "migrations").mkdir(parents=True)
    (folder / "migrations" / "20260101000000_many.sql").write_text(
        "create table public.many as select generate_series(1, 1001) as id;"
        "grant usage on schema public to service_role; grant select on public.many to service_role;"
    )
    with StackProcess(folder / "data", folder / "migrations", arguments=arguments).running() as ready:
        async with httpx.AsyncClient(headers={"apikey": ready.secret_key}, trust_env=False) as http:
            answer = await http.get(f"{ready.url}/rest/v1/many")
        assert len(answer.json()) == rows


@pytest.mark.parametrize(("method", "word"), [("PATCH", "UPDATE"), ("DELETE", "DELETE")])
async def test_a_write_without_a_condition_is_refused(
    http: httpx.AsyncClient, database: asyncpg.Connection, method: str, word: str
) -> None:
    for path in ("/notes", "/notes?select=id&order=id"):
        answer = await http.request(method, path, json={"body": "x"})
        refusal = {"code": "21000", "details": None, "hint": None, "message": f"{word} requires a WHERE clause"}
        assert (answer.status_code, answer.json()) == (400, refusal)
    assert await database.fetchval("select count(*) from notes where body is null") == 7
    assert (await http.request(method, "/notes?id=gte.0", json={"body": "x"})).status_code == 204


async def use_all_connections(http: httpx.AsyncClient, database: asyncpg.Connection) -> None:
    """Send enough concurrent requests for the gateway to open all its connections."""
    await database.execute("select pg_advisory_lock(1)")
    waiting = [asyncio.create_task(http.post("/rpc/wait_for_key")) for _ in range(POOL)]
    await eventually(lambda: database.fetchval(BLOCKED_REQUESTS), POOL)
    await database.execute("select pg_advisory_unlock(1)")
    assert [(await task).status_code for task in waiting] == [200] * POOL


async def kill_server(stack: Stack, folder: Path, database: asyncpg.Connection) -> None:
    """End the server process and start it again, as its supervisor would."""
    (server,) = postgres_over(folder)
    await database.close()
    os.kill(server, signal.SIGKILL)
    await stack.server.restart()


async def kill_session(_stack: Stack, _folder: Path, database: asyncpg.Connection) -> None:
    """End one session's process: the server then ends all others and restarts."""
    os.kill(database.get_server_pid(), signal.SIGKILL)
    with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
        await database.fetchval("select pg_sleep(20)")


@pytest.mark.parametrize("crash", [kill_server, kill_session])
async def test_after_a_crash_each_connection_returns_one_empty_400(
    stack: Stack, own_folder: Path, http: httpx.AsyncClient, database: asyncpg.Connection, crash: Any
) -> None:
    await use_all_connections(http, database)
    await crash(stack, own_folder, database)
    await until_available(stack, http)
    for _ in range(POOL):
        answer = await http.get("/notes?id=eq.1")
        assert (answer.status_code, answer.json()) == (400, EMPTY)
    assert [(await http.get("/notes?id=eq.1")).status_code for _ in range(2 * POOL)] == [200] * 2 * POOL


async def test_a_request_during_a_crash_is_not_an_idle_connection(
    stack: Stack, http: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    await use_all_connections(http, database)
    await database.execute("select pg_advisory_lock(1)")
    interrupted = asyncio.create_task(http.post("/rpc/wait_for_key"))
    await eventually(lambda: database.fetchval(BLOCKED_REQUESTS), 1)
    os.kill(database.get_server_pid(), signal.SIGKILL)
    assert (await interrupted).status_code == 503
    await until_available(stack, http)
    found = [(await http.get("/notes?id=eq.1")).status_code for _ in range(2 * POOL)]
    assert found == [400] * (POOL - 1) + [200] * (POOL + 1)


async def until_available(stack: Stack, http: httpx.AsyncClient) -> None:
    """Wait for the database and for the gateway's schema; its requests use no connection."""
    async with asyncio.timeout(20):
        while True:
            try:
                connection = await asyncpg.connect(stack.server.dsn)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.02)
            else:
                await connection.close()
                break
        while (await http.get("/no_such_table")).status_code == 503:
            await asyncio.sleep(0.02)


async def test_an_unreadable_schema_gives_pgrst002(
    stack: Stack, own_folder: Path, http: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    (server,) = postgres_over(own_folder)
    await database.close()
    os.kill(server, signal.SIGKILL)
    async with asyncio.timeout(20):
        # The relation does not exist: a request before the crash is noticed uses no connection.
        while (await http.get("/no_such_table")).status_code != 503:
            await asyncio.sleep(0.02)
    message = "Could not query the database for the schema cache. Retrying."
    for answer in (await http.get("/notes"), await http.post("/rpc/numbers"), await http.get("/no_such_table")):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json() == {"code": "PGRST002", "details": None, "hint": None, "message": message}
    await stack.server.restart()
    await until_available(stack, http)
    assert (await http.get("/notes?id=eq.1")).status_code in {200, 400}


JSON_ARGUMENTS = [
    ('{"a": [1, "x"], "b": null}', {"a": [1, "x"], "b": None}),
    ('"text"', "text"),
    ("[1, 2]", [1, 2]),
    ("7", 7),
    ("null", None),
    ("true", True),
]


@pytest.mark.parametrize("function", ["same_json", "same_jsonb"])
@pytest.mark.parametrize(("text", "value"), JSON_ARGUMENTS)
async def test_a_json_argument_works_in_url_and_body(
    function: str, text: str, value: Any, http: httpx.AsyncClient
) -> None:
    read = await http.get(f"/rpc/{function}", params={"p_value": text, "p_word": text})
    posted = await http.post(f"/rpc/{function}", json={"p_value": value, "p_word": text})
    assert read.status_code == posted.status_code == 200
    assert read.json() == posted.json() == {"value": value, "word": text}


async def test_an_invalid_json_argument_in_a_url_is_refused(http: httpx.AsyncClient) -> None:
    for text in ("{", "", "NaN", "{} {}"):
        answer = await http.get("/rpc/same_jsonb", params={"p_value": text, "p_word": "x"})
        assert (answer.status_code, answer.json()["code"]) == (400, "22P02")


async def test_a_signed_in_user_accesses_only_own_rows(
    own_folder: Path, http: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    secret = (own_folder / "jwt-secret").read_text()
    users = [str(uuid4()), str(uuid4())]
    bearers = [bearer({"role": "authenticated", "aud": "authenticated", "sub": user}, secret) for user in users]
    for user, headers in zip(users, bearers, strict=True):
        await database.execute("insert into auth.users (id, email) values ($1, $2)", user, f"{user}@example.org")
        assert (await http.post("/drafts", json={"body": "mine"}, headers=headers)).status_code == 201
        assert [row["owner"] for row in (await http.get("/drafts", headers=headers)).json()] == [user]
    foreign = await http.post("/drafts", json={"owner": users[1], "body": "x"}, headers=bearers[0])
    assert (foreign.status_code, foreign.json()["code"]) == (403, "42501")
    assert len((await http.get("/drafts")).json()) == 2
    nobody = bearer({"role": "authenticated"}, secret)
    assert (await http.get("/drafts", headers=nobody)).json() == []
    forged = bearer({"role": "authenticated", "sub": users[0]}, "o" * 32)
    assert (await http.get("/drafts", headers=forged)).status_code == 401


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"request.jwt.claims": ""}, None),
        ({"request.jwt.claims": "{}"}, None),
        ({"request.jwt.claims": json.dumps({"sub": str(uuid4())[:-1] + "0"})}, "claims"),
        ({"request.jwt.claim.sub": "00000000-0000-4000-8000-000000000001", "request.jwt.claims": "{}"}, "sub"),
    ],
)
async def test_auth_uid_is_the_subject_of_the_claims(
    database: asyncpg.Connection, settings: dict[str, str], expected: str | None
) -> None:
    wanted = {
        None: None,
        "sub": settings.get("request.jwt.claim.sub"),
        "claims": json.loads(settings.get("request.jwt.claims") or "{}").get("sub"),
    }[expected]
    async with database.transaction():
        for name, value in settings.items():
            await database.execute("select set_config($1, $2, true)", name, value)
        for role in ("anon", "authenticated", "service_role"):
            await database.execute(f"set local role {role}")
            assert await database.fetchval("select auth.uid()::text") == wanted
            await database.execute("reset role")


def bearer(claims: dict[str, Any], secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"}
