"""Hostile names and values at every position of a request: never a 500, and only filtered rows change."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedded.postgrest.syntax import OPERATORS
from embedded.stack import Stack, StackOptions
from tests.support.schema_cache import schema_is_read

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMA = """
create table public.target (id int primary key, note text, day date, tags text[], attrs jsonb, unique (note));
create table public.victim (id int primary key, note text);
create function public.echo(a text default 'a', n int default 0, j jsonb default null) returns setof public.target
language sql as $$ select n, a, null::date, array[a], j $$;
create function public.one(a text) returns text language sql as $$ select a $$;
grant usage on schema public to service_role;
grant all on public.target, public.victim to service_role;
"""
SEED = """
truncate public.target, public.victim;
insert into public.target values (1, 'one', '2026-01-01', '{a}', '{"k": [1]}'), (2, 'two', '2026-01-02', '{b}', '{}');
insert into public.victim values (1, 'kept');
"""
STATE = """
select (select jsonb_object_agg(id, to_jsonb(t)) from public.target t)::text,
       (select jsonb_agg(to_jsonb(v) order by id) from public.victim v)::text,
       (select count(*) from pg_class where relnamespace = 'public'::regnamespace)
"""
PIECES = (
    *(
        "'",
        '"',
        ";",
        "--",
        "/*",
        "*/",
        "$1",
        "$$",
        "\\",
        "(",
        ")",
        ",",
        ".",
        ":",
        "::",
        "->",
        "->>",
        "{",
        "}",
        "[",
        "]",
    ),
    *(
        "\0",
        "%",
        "*",
        "&",
        "=",
        "id",
        "note",
        "attrs",
        "eq.",
        "not.",
        "in.",
        "or",
        "and",
        "null",
        "is.",
        " ",
        "\n",
        "é",
    ),
    *(
        "1",
        "-1",
        "--1",
        "99999999999999999999",
        "1e400",
        "NaN",
        "select",
        "target",
        "victim",
        "public.victim",
        "😀",
        "²",
    ),
    *("'; drop table public.victim; --", "1); delete from public.victim; --", '" is not null or "id', "or 1=1"),
    *("(select note from public.victim)", "public.echo()", "pg_sleep(9)::text", "\u202e", "\ufffe"),
)
hostile = st.one_of(
    st.sampled_from(PIECES),
    st.lists(st.sampled_from(PIECES), max_size=5).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
column = st.one_of(st.sampled_from(["id", "note", "day", "tags", "attrs", "attrs->k", "attrs->>k", "*"]), hostile)
operator = st.one_of(
    st.sampled_from([*OPERATORS, "not.eq", "not.in"]),
    hostile,
)
value = st.one_of(hostile, st.builds("({},{})".format, hostile, hostile), st.builds("{{{}}}".format, hostile))
condition = st.builds("{}.{}.{}".format, column, operator, value)
tree = st.recursive(
    condition,
    lambda inner: st.builds("{}({},{})".format, st.sampled_from(["or", "and", "not.or", "not.and"]), inner, inner),
    max_leaves=4,
)
item = st.one_of(column, st.builds("{}:{}::{}".format, hostile, column, st.one_of(st.just("text"), hostile)))
parameter = st.one_of(
    st.tuples(st.just("select"), st.lists(item, max_size=3).map(",".join)),
    st.tuples(column, st.builds("{}.{}".format, operator, value)),
    st.tuples(st.sampled_from(["or", "and", "not.or", "not.and"]), st.one_of(tree.map("({})".format), hostile)),
    st.tuples(st.just("order"), st.builds("{}.{}".format, column, st.one_of(st.just("desc"), hostile))),
    st.tuples(st.sampled_from(["limit", "offset", "columns", "on_conflict"]), st.one_of(column, hostile)),
    st.tuples(hostile, hostile),
)
parameters = st.lists(parameter, max_size=3)
printable = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20).map(
    str.strip
)
applied = ("return=representation", "resolution=merge-duplicates", "resolution=ignore-duplicates", "count=exact")
preference = st.lists(st.sampled_from([*applied, "return=headers-only", "missing=default"]), max_size=3).map(", ".join)
headers = st.fixed_dictionaries(
    {},
    optional={
        "prefer": st.one_of(preference, printable),
        "accept": st.one_of(st.sampled_from(["application/json", "application/vnd.pgrst.object+json"]), printable),
        "range": st.one_of(st.from_regex(r"-?[0-9]{0,20}-[0-9]{0,20}", fullmatch=True), printable),
        "range-unit": printable,
        "content-type": printable,
    },
)
scalar = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), hostile)
document = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3), max_leaves=5
)
row = st.dictionaries(st.one_of(st.sampled_from(["note", "day", "tags", "attrs"]), hostile), document, max_size=3)
body = st.one_of(row.map(json.dumps), st.lists(row, max_size=2).map(json.dumps), document.map(json.dumps), hostile)

bounded = settings(
    max_examples=80, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@dataclass(frozen=True)
class Target:
    """The emulator, a client with the service role's key, and a superuser who checks the tables."""

    http: httpx.AsyncClient
    database: asyncpg.Connection
    seeded: tuple[Any, ...]

    async def send(self, method: str, path: str, given: list[tuple[str, str]], **request: Any) -> httpx.Response:
        """Send a request of these parts; it must get a response that is no gateway error."""
        query = "&".join(f"{quote(name)}={quote(text)}" for name, text in given)
        request["headers"] = {name: text.encode("latin-1") for name, text in request.get("headers", {}).items()}
        answer = await self.http.request(method, f"/rest/v1/{quote(path)}?{query}", **request)
        assert answer.status_code < 500, answer.text
        if answer.is_error and method != "HEAD":
            assert answer.json()["message"]
        return answer

    async def changed(self, *, addressed: frozenset[str] = frozenset()) -> Any:
        """The rows outside the filter that changed, or None; restores all rows."""
        found = tuple(await self.database.fetchrow(STATE))
        if found == self.seeded:
            return None
        await self.database.execute(SEED)
        before, after = json.loads(self.seeded[0]), json.loads(found[0] or "{}")
        others = {number: after.get(number) for number, kept in before.items() if kept != after.get(number)}
        strangers = {number: others[number] for number in others.keys() - addressed}
        return strangers or (found[1:] if found[1:] != self.seeded[1:] else None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacked(own_folder: Path) -> AsyncIterator[Target]:
    stack = Stack(StackOptions(own_folder, port=0, durable=False))
    ready = await stack.start()
    database = await asyncpg.connect(ready.database_url)
    await database.execute(SCHEMA + SEED)
    await schema_is_read(database, f"{ready.url}/rest/v1")
    async with httpx.AsyncClient(
        base_url=ready.url, headers={"apikey": ready.secret_key}, trust_env=False, timeout=30
    ) as http:
        yield Target(http, database, tuple(await database.fetchrow(STATE)))
    await database.close()
    await stack.stop()


@bounded
@given(
    table=st.one_of(st.just("target"), hostile),
    given=parameters,
    headers=headers,
    method=st.sampled_from(["GET", "HEAD"]),
)
async def test_reads_change_nothing(
    attacked: Target, table: str, given: list[tuple[str, str]], headers: dict[str, str], method: str
) -> None:
    await attacked.send(method, table, given, headers=headers)
    assert await attacked.changed() is None


@bounded
@given(given=parameters, headers=headers, body=body, method=st.sampled_from(["PATCH", "DELETE"]))
async def test_writes_change_only_the_filtered_row(
    attacked: Target, given: list[tuple[str, str]], headers: dict[str, str], body: str, method: str
) -> None:
    await attacked.send(method, "target", [("id", "eq.1"), *given], headers=headers, content=body)
    assert await attacked.changed(addressed=frozenset("1")) is None


@bounded
@given(given=parameters, headers=headers, row=row, raw=st.one_of(st.none(), body))
async def test_inserts_change_no_existing_row(
    attacked: Target, given: list[tuple[str, str]], headers: dict[str, str], row: dict[str, Any], raw: str | None
) -> None:
    content = raw if raw is not None else json.dumps({**row, "id": 1000})
    await attacked.send("POST", "target", given, headers=headers, content=content)
    assert await attacked.changed() is None


@bounded
@given(
    name=st.one_of(st.sampled_from(["echo", "one"]), hostile),
    given=st.lists(st.one_of(parameter, st.tuples(st.sampled_from("anj"), hostile)), max_size=3),
    headers=headers,
    body=st.one_of(
        st.dictionaries(st.one_of(st.sampled_from("anj"), hostile), document, max_size=3).map(json.dumps), body
    ),
    method=st.sampled_from(["GET", "POST"]),
)
async def test_calls_change_nothing(
    attacked: Target, name: str, given: list[tuple[str, str]], headers: dict[str, str], body: str, method: str
) -> None:
    await attacked.send(method, f"rpc/{name}", given, headers=headers, content=body if method == "POST" else None)
    assert await attacked.changed() is None


@bounded
@given(text=hostile)
async def test_values_are_returned_unchanged(attacked: Target, text: str) -> None:
    answer = await attacked.http.post("/rest/v1/rpc/one", json={"a": text})
    if "\0" in text:
        assert answer.status_code == 400
    else:
        assert answer.json() == text


@pytest.mark.parametrize(
    "given",
    [
        [("or", "(" + "and(" * 3000 + "id.eq.1" + ")" * 3001)],
        [("id", "eq.1")] * 8_000,
        [("id", f"in.({','.join(map(str, range(6000)))})")],
        [("select", ",".join(["id"] * 2000))],
        [("select", "attrs" + "->a" * 10_000)],
        [("note", "match.(" + "(" * 500)],
        [("select", "attrs->--1")],
    ],
    ids=[
        "deep tree",
        "many conditions",
        "long list",
        "many columns",
        "long path",
        "bad regular expression",
        "bad index",
    ],
)
async def test_oversized_queries_are_answered_or_refused(attacked: Target, given: list[tuple[str, str]]) -> None:
    await attacked.send("GET", "target", given)


@pytest.mark.parametrize("body", ["[" * 100_000, '{"attrs":' * 5_000 + "1" + "}" * 5_000, '{"\\ud800": 1}', b"\xff"])
async def test_oversized_and_broken_bodies_are_refused(attacked: Target, body: str | bytes) -> None:
    answer = await attacked.send("POST", "target", [], content=body)
    assert answer.status_code == 400


async def test_an_insert_without_rows_inserts_nothing(attacked: Target) -> None:
    for body, status in ((b"[]", 201), (b"[{},{}]", 400), (b"{}", 400), (b"[1]", 400), (b"null", 400)):
        answer = await attacked.send("POST", "target", [], content=body)
        assert answer.status_code == status, answer.text
    assert await attacked.changed() is None


async def test_raw_bytes_in_the_url_are_answered(attacked: Target) -> None:
    address = httpx.URL(str(attacked.http.base_url))
    for target in (
        b"/rest/v1/target?note=eq.%ff%fe",
        b"/rest/v1/%ff",
        b"/rest/v1/target?%00=eq.1",
        b"/rest/v1//",
        b"/%",
    ):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET " + target + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert int((await reader.read()).split()[1]) < 500
        writer.close()
