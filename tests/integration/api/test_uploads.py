"""Uploads over a real connection: more time than other requests, bounded pieces, and nothing left by who is gone."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.api import uploads
from app.api.connection import BoundedProtocol
from app.config import ApiSettings
from app.imports.entries import MAX_BYTES
from embedded.stack import Ready
from tests.support.running_api import KEY, HastyProtocol, RunningApi
from tests.support.running_worker import until
from tests.support.schedule import add_reader

EMPTY = "select not exists (select from public.uploads) and not exists (select from public.upload_pieces)"
HEAD = (
    "POST {path} HTTP/1.1\r\nHost: api\r\nX-API-Key: {key}\r\nContent-Type: application/x-bibtex\r\n"
    "Transfer-Encoding: chunked\r\n\r\n"
)
PIECE = b"%x\r\n%s\r\n" % (300_000, b" " * 300_000)


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    values = {"supabase_url": stack.url, "supabase_key": stack.secret_key, "api_keys": KEY, "admins": "default"}
    return ApiSettings.model_validate(values)


@pytest.fixture
def protocol() -> type[BoundedProtocol]:
    return HastyProtocol


@pytest.fixture
async def path(client: AsyncClient) -> str:
    return f"/v1/readers/{(await add_reader(client)).reader_id}/papers"


def head_of(path: str, key: str = KEY) -> bytes:
    return HEAD.format(path=path, key=key).encode()


async def until_pieces(database: asyncpg.Connection, count: int) -> None:
    await until(database, "select count(*) = $1 from public.upload_pieces", count)


async def test_a_caller_who_disconnects_leaves_nothing(
    api: RunningApi, path: str, database: asyncpg.Connection
) -> None:
    async with api.connected() as raw:
        await raw.send(head_of(path) + PIECE)
        await until_pieces(database, 1)
    await until(database, EMPTY)
    assert await database.fetchval("select count(*) from public.tasks") == 0


async def test_an_upload_has_more_time_than_other_requests(
    api: RunningApi, path: str, database: asyncpg.Connection
) -> None:
    async with api.connected() as raw:
        await raw.send(head_of(path) + PIECE)
        await until_pieces(database, 1)
        # The deadline of other requests passes: only the passing of time shows that it does not apply.
        await asyncio.sleep(2 * HastyProtocol.request_timeout)
        await raw.send(b"1b\r\n@misc{a, title={Of storms}}\r\n0\r\n\r\n")
        async with asyncio.timeout(10):
            assert b"202 Accepted" in await raw.reader.readline()


async def test_an_upload_that_takes_too_long_is_refused(
    api: RunningApi, path: str, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "UPLOAD_SECONDS", 0.3)
    async with api.connected() as raw:
        await raw.send(head_of(path) + PIECE)
        assert b"408 Request Timeout" in (await raw.rest()).splitlines()[0]
    await until(database, EMPTY)


async def test_a_stranger_has_no_more_time_to_upload(api: RunningApi, path: str, database: asyncpg.Connection) -> None:
    async with api.connected() as raw:
        await raw.send(head_of(path, "x" * 16) + b"5\r\nab")
        answer = await raw.rest()
    assert b"401 Unauthorized" in answer.splitlines()[0]
    assert await database.fetchval(EMPTY)


async def test_a_file_over_the_limit_is_refused_and_removed(
    api: RunningApi, path: str, database: asyncpg.Connection
) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(MAX_BYTES // 1_000_000):
            yield b" " * 1_000_000
        yield b"  "

    headers = {"X-API-Key": KEY, "Content-Type": "text/plain"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False, timeout=60) as http:
        answer = await http.post(path, content=body(), headers=headers)
    assert (answer.status_code, "50000000" in answer.json()["detail"]) == (413, True)
    assert await database.fetchval(EMPTY)


async def test_a_larger_announced_length_is_refused_at_once(
    api: RunningApi, path: str, database: asyncpg.Connection
) -> None:
    announced = head_of(path).replace(b"Transfer-Encoding: chunked", b"Content-Length: %d" % (MAX_BYTES + 1))
    async with api.connected() as raw:
        await raw.send(announced)
        assert b"413 " in (await raw.rest()).splitlines()[0]
    assert await database.fetchval(EMPTY)


async def test_a_file_at_the_limit_is_stored_in_pieces(
    api: RunningApi, path: str, database: asyncpg.Connection
) -> None:
    headers = {"X-API-Key": KEY, "Content-Type": "text/plain"}
    content = (b"x" * 49 + b"\n") * (MAX_BYTES // 50)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False, timeout=60) as http:
        answer = await http.post(path, content=content, headers=headers)
    assert answer.status_code == 202
    sizes = await database.fetchrow(
        "select sum(octet_length(content)), max(octet_length(content)), count(*) from public.upload_pieces"
    )
    assert tuple(sizes) == (MAX_BYTES, uploads.PIECE, MAX_BYTES // uploads.PIECE)
