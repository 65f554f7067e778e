"""Replays the recorded answers of a real PostgREST against the emulator, or against a real one if it is named.

With POSTGREST_URL (its root, without a slash) and POSTGREST_DSN (a superuser's, of an empty database in which the three
roles exist) set, the same cases run there.
"""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio

from embedded.postgrest.limits import GatewayLimits
from embedded.stack import Stack, StackOptions
from tests.support.schema_cache import schema_is_read

DATA = Path(__file__).parents[2] / "data" / "postgrest"
RECORDED: dict[str, Any] = json.loads((DATA / "cases.json").read_text(encoding="utf-8"))
NEWER_CODES = {"42P01": "PGRST205", "PGRST301": "PGRST303"}
REFUSALS = {400, 406}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Target:
    url: str
    dsn: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target(stack_folder: Path) -> AsyncIterator[Target]:
    if "POSTGREST_URL" in os.environ:
        yield Target(os.environ["POSTGREST_URL"], os.environ["POSTGREST_DSN"])
        return
    # The recorded project had no pg-safeupdate: two of its cases write to a whole table.
    options = StackOptions(
        # Its own stack: modules that run side by side may start this one twice.
        stack_folder / f"conformance-{uuid4().hex[:8]}",
        port=0,
        jwt_secret=RECORDED["jwt_secret"],
        durable=False,
        limits=GatewayLimits(safe_update=False),
    )
    stack = Stack(options)
    ready = await stack.start()
    yield Target(f"{ready.url}/rest/v1", ready.database_url)
    await stack.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(target: Target) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(target.dsn)
    await connection.execute((DATA / "fixture.sql").read_text(encoding="utf-8"))
    await schema_is_read(connection, target.url)
    yield connection
    await connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: case["name"])
async def test_responses_match_the_recording(
    case: dict[str, Any], target: Target, database: asyncpg.Connection, http: httpx.AsyncClient
) -> None:
    await database.execute((DATA / "seed.sql").read_text(encoding="utf-8"))
    answer = await http.send(request_of(case, target))
    if not case["required"] and answer.status_code in REFUSALS and answer.status_code != case["status"]:
        assert answer.json()["message"], "a refusal names what is not supported"
        return
    assert answer.status_code == case["status"], answer.text
    compare_body(case, answer)
    if recorded := case["response_headers"].get("content-range"):
        assert answer.headers["content-range"] == recorded
    if case["state_after"] is not None:
        assert await state(database) == case["state_after"]


def request_of(case: dict[str, Any], target: Target) -> httpx.Request:
    token = RECORDED["tokens"][case["token"]]
    headers = case["headers"] | ({"authorization": f"Bearer {token}"} if token else {})
    body = case.get("raw_body")
    if body is None and case["body"] is not None:
        body = json.dumps(case["body"])
    return httpx.Request(case["method"], target.url + case["path"], headers=headers, content=body)


def compare_body(case: dict[str, Any], answer: httpx.Response) -> None:
    recorded = case["response_body"]
    if recorded is None:
        assert answer.text in {"", "null"}
    elif isinstance(recorded, dict) and "__text__" in recorded:
        assert answer.text == recorded["__text__"]
    elif answer.is_error:
        error = answer.json()
        assert error["code"] in {recorded["code"], NEWER_CODES.get(recorded["code"])}
        if not recorded["code"].startswith("PGRST") and error["code"] == recorded["code"]:
            assert error["message"] == recorded["message"]
    else:
        assert answer.json() == recorded


async def state(database: asyncpg.Connection) -> dict[str, Any]:
    found = {}
    for table, key in (("items", "id"), ("parts", "part_id")):
        query = f"select coalesce(json_agg(t order by t.{key}), '[]') from public.{table} t"
        found[table] = json.loads(await database.fetchval(query))
    return found
