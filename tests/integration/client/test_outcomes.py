"""The error for each failure of a real server, and how many requests the server receives."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import pytest
from pydantic import TypeAdapter
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.errors import SchemaOutdated, SupabaseError, SupabaseRejected, SupabaseUnavailable, UnreadableResponse
from app.persistence.errors import VOID, parsed, supabase_errors
from tests.support.fixture_types import MakeSettings, StartServer
from tests.support.scripted_server import Step, answer, compressed, hang_up, send, stall

ROWS = TypeAdapter(list[dict[str, int]])
OK = answer(200, [{"id": 1}])
Request = Callable[[AsyncClient], Awaitable[list[dict[str, int]]]]
HTML = "<html>Bad gateway</html>"
GZIP = "Content-Encoding: gzip\r\n"
IMPATIENT: dict[str, object] = {"supabase_read_timeout": 1.0}
"""For servers that stall."""


async def read(client: AsyncClient) -> list[dict[str, int]]:
    with supabase_errors("read"):
        result = await client.table("items").select("*").execute()
    return parsed(ROWS, result.data)


async def call(client: AsyncClient) -> list[dict[str, int]]:
    with supabase_errors("call"):
        result = await client.rpc("work", {"n": 1}).execute()
    return parsed(ROWS, result.data)


@dataclass(frozen=True)
class Failure:
    name: str
    steps: tuple[Step, ...]
    error: type[SupabaseError]
    seen: int
    cause: type[Exception] | None = None
    code: str | None = None
    text: str = ""
    seen_reading: int | None = None  # aiohttp itself repeats a read once more per attempt
    settings: dict[str, object] = field(default_factory=dict)


def api_error(status: int, code: str, message: str = "no") -> Step:
    return answer(status, {"code": code, "message": message, "details": None, "hint": None})


FAILURES = [
    Failure("stalls", (stall,), SupabaseUnavailable, 2, httpx.ReadTimeout, settings=IMPATIENT),
    Failure("hangs up after reading", (hang_up,), SupabaseUnavailable, 2, httpx.RemoteProtocolError, seen_reading=4),
    Failure(
        "is no HTTP", (send(b"220 smtp ready\r\n\r\n", close=True),), SupabaseUnavailable, 2, httpx.RemoteProtocolError
    ),
    Failure("answers HTML 502", (answer(502, HTML),), SupabaseUnavailable, 2, httpx.HTTPStatusError),
    Failure("answers HTML 500", (answer(500, HTML),), SupabaseUnavailable, 1, httpx.HTTPStatusError),
    Failure("answers HTML 404", (answer(404, HTML),), SupabaseUnavailable, 1, httpx.HTTPStatusError),
    Failure(
        "redirects", (answer(301, "", headers="Location: /x\r\n"),), SupabaseUnavailable, 1, text="SUPABASE_URL must"
    ),
    Failure("answers broken JSON", (answer(200, '[{"id": 1'),), UnreadableResponse, 1),
    Failure("answers an unexpected form", (answer(200, [{"id": "x"}]),), UnreadableResponse, 1),
    Failure(
        "breaks off the body",
        (send(b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n[", close=True),),
        SupabaseUnavailable,
        2,
    ),
    Failure("answers 400 with a JSON array", (answer(400, ["no"]),), SupabaseUnavailable, 1),
    Failure("answers 503 with a JSON array", (answer(503, ["no"]),), SupabaseUnavailable, 2),
    Failure(
        "is the platform's gateway, key refused",
        (answer(401, {"message": "Invalid API key"}),),
        SupabaseUnavailable,
        1,
        text="SUPABASE_KEY must",
    ),
    Failure(
        "is the platform's gateway, nobody behind it", (answer(503, {"message": "no peer"}),), SupabaseUnavailable, 2
    ),
    Failure("is busy for long", (answer(429, {"message": "slow down"}),), SupabaseUnavailable, 2),
    Failure("has a deadlock", (api_error(500, "40P01"),), SupabaseUnavailable, 1),
    Failure("has a serialization failure", (api_error(500, "40001"),), SupabaseUnavailable, 1),
    Failure("ends the statement", (api_error(500, "57014"),), SupabaseUnavailable, 1),
    Failure("is out of connections", (api_error(503, "53300"),), SupabaseUnavailable, 2),
    Failure("has no free connection", (api_error(504, "PGRST003"),), SupabaseUnavailable, 2),
    Failure("lacks the table", (api_error(404, "42P01"),), SchemaOutdated, 1),
    Failure("lacks the function", (api_error(404, "PGRST202"),), SchemaOutdated, 1),
    Failure("refuses the key's role", (api_error(403, "42501"),), SupabaseUnavailable, 1, text="SUPABASE_KEY must"),
    Failure("refuses the token", (api_error(401, "PGRST301"),), SupabaseUnavailable, 1, text="SUPABASE_KEY must"),
    Failure("answers HTML 403", (answer(403, HTML),), SupabaseUnavailable, 1, httpx.HTTPStatusError),
    Failure("has an internal error", (api_error(500, "XX000"),), SupabaseUnavailable, 1),
    Failure("lost its database", (api_error(400, "", ""),), SupabaseUnavailable, 2, httpx.RemoteProtocolError),
    *(
        Failure(
            f"lost its database, says so in {coding}",
            (compressed(400, {"code": "", "message": "", "details": None, "hint": None}, coding),),
            SupabaseUnavailable,
            2,
            httpx.RemoteProtocolError,
        )
        for coding in ("gzip", "deflate")
    ),
    Failure("answers an unreadable gzip", (answer(400, "{}", headers=GZIP),), SupabaseUnavailable, 1),
    Failure("answers 200 with nothing", (answer(200, ""),), UnreadableResponse, 1),
    Failure("answers 204 with nothing", (send(b"HTTP/1.1 204 X\r\n\r\n"),), UnreadableResponse, 1),
    *(Failure(f"answers {body}", (answer(200, body),), UnreadableResponse, 1) for body in ("null", "7", '"no"', HTML)),
    Failure("has an older function", (api_error(400, "42883"),), SchemaOutdated, 1),
    Failure("gets too much", (answer(413, HTML),), SupabaseRejected, 1, None, "413"),
    Failure("gets what is no number", (api_error(400, "22P02"),), SupabaseRejected, 1, None, "22P02"),
    Failure("gets what is too deep", (api_error(500, "54001"),), SupabaseRejected, 1, None, "54001"),
    Failure("cannot parse the request", (api_error(400, "PGRST102"),), SupabaseRejected, 1, None, "PGRST102"),
    Failure("answers a number without end", (answer(200, "1" * 5000),), UnreadableResponse, 1),
    Failure("has the row already", (api_error(409, "23505"),), SupabaseRejected, 1, None, "23505"),
    Failure("raises", (api_error(400, "P0001"),), SupabaseRejected, 1, None, "P0001"),
    Failure(
        "takes longer than the whole call may",
        (stall,),
        SupabaseUnavailable,
        1,
        httpx.ReadTimeout,
        settings={"supabase_call_timeout": 1.0, "supabase_read_timeout": 30, "supabase_retries": 5},
    ),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
@pytest.mark.parametrize("request_", [read, call], ids=["table", "rpc"])
async def test_failure_becomes_a_domain_error(
    failure: Failure, request_: Request, start_server: StartServer, make_settings: MakeSettings
) -> None:
    server = await start_server(*failure.steps)
    async with open_supabase(make_settings(server.url, **failure.settings)) as client:
        with pytest.raises(SupabaseError) as caught:
            await request_(client)
    assert type(caught.value) is failure.error
    assert failure.text in str(caught.value)
    repeated = failure.seen_reading if request_ is read else None
    assert len(server.seen) == (repeated or failure.seen)
    assert failure.cause is None or isinstance(caught.value.__cause__, failure.cause)
    assert failure.code is None or (isinstance(caught.value, SupabaseRejected) and caught.value.code == failure.code)


@pytest.mark.parametrize("request_", [read, call], ids=["table", "rpc"])
@pytest.mark.parametrize(
    ("steps", "seen"),
    [
        pytest.param((OK, OK), 2, id="twice"),
        pytest.param((answer(200, [{"id": 1}], close=True), OK), 2, id="closes an idle connection"),
        pytest.param((OK, hang_up, OK), 3, id="closes as the request arrives"),
        pytest.param((OK, answer(502, HTML), OK), 3, id="HTML 502 once"),
        pytest.param((OK, stall, OK), 3, id="stalls once"),
        pytest.param((OK, api_error(400, "", ""), OK), 3, id="the empty 400 once"),
        pytest.param((OK, send(b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n[", close=True), OK), 3, id="breaks off"),
    ],
)
async def test_a_temporary_failure_is_hidden_from_the_caller(
    request_: Request, steps: tuple[Step, ...], seen: int, start_server: StartServer, make_settings: MakeSettings
) -> None:
    server = await start_server(*steps)
    async with open_supabase(make_settings(server.url, **(IMPATIENT if stall in steps else {}))) as client:
        assert await request_(client) == [{"id": 1}]
        assert await request_(client) == [{"id": 1}]
    assert len(server.seen) == seen


@pytest.mark.parametrize("request_", [read, call], ids=["table", "rpc"])
async def test_refused_connection_was_not_sent(
    request_: Request, start_server: StartServer, make_settings: MakeSettings
) -> None:
    server = await start_server(OK)
    await server.stop()
    async with open_supabase(make_settings(server.url)) as client:
        with pytest.raises(SupabaseUnavailable) as caught:
            await request_(client)
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert server.seen == []


async def test_closing_on_accept_uses_all_attempts(start_server: StartServer, make_settings: MakeSettings) -> None:
    server = await start_server(OK, close_on_accept=True)
    async with open_supabase(make_settings(server.url)) as client:
        with pytest.raises(SupabaseUnavailable) as caught:
            await call(client)
    assert isinstance(caught.value.__cause__, httpx.RemoteProtocolError | httpx.ReadError)
    assert (server.connections, server.seen) == (2, [])


async def test_full_pool_is_unavailable_and_was_not_sent(
    start_server: StartServer, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.client.transport.POOL_TIMEOUT", 0.05)
    server = await start_server(stall)
    settings = make_settings(server.url, supabase_max_connections=1, supabase_retries=0, **IMPATIENT)
    async with open_supabase(settings) as client:
        outcomes = await asyncio.gather(read(client), call(client), return_exceptions=True)
    causes = {type(outcome.__cause__) for outcome in outcomes if isinstance(outcome, SupabaseUnavailable)}
    assert causes == {httpx.ReadTimeout, httpx.ConnectTimeout}
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504, 520, 521, 522, 523, 524])
async def test_a_temporary_status_is_retried(
    status: int, start_server: StartServer, make_settings: MakeSettings
) -> None:
    server = await start_server(answer(status, HTML), OK)
    async with open_supabase(make_settings(server.url)) as client:
        assert await call(client) == [{"id": 1}]
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [408, 500, 501, 505, 519, 525])
async def test_a_permanent_status_is_not_retried(
    status: int, start_server: StartServer, make_settings: MakeSettings
) -> None:
    server = await start_server(answer(status, HTML), OK)
    async with open_supabase(make_settings(server.url)) as client:
        with pytest.raises(SupabaseUnavailable):
            await call(client)
    assert len(server.seen) == 1


async def test_a_large_body_is_sent_completely_without_a_warning(
    start_server: StartServer, make_settings: MakeSettings
) -> None:
    """aiohttp warns of large bodies that it sends in one piece; here a warning is an error."""
    server = await start_server(OK)
    much = "x" * 3_000_000
    async with open_supabase(make_settings(server.url)) as client:
        await client.rpc("work", {"much": much}).execute()
    assert server.bodies == [b'{"much":"' + much.encode() + b'"}']


async def test_nan_and_infinity_are_never_sent(start_server: StartServer, make_settings: MakeSettings) -> None:
    server = await start_server(OK)
    async with open_supabase(make_settings(server.url)) as client:
        with pytest.raises(ValueError, match="not JSON compliant"):
            await client.rpc("work", {"n": float("nan")}).execute()
    assert server.seen == []


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_respected(status: int, start_server: StartServer, make_settings: MakeSettings) -> None:
    server = await start_server(answer(status, {"message": "later"}, headers="Retry-After: 1\r\n"), OK)
    async with open_supabase(make_settings(server.url)) as client:
        assert await read(client) == [{"id": 1}]
    first, second = server.seen_at
    assert second - first >= 1.0


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_compressed_rows_are_read(coding: str, start_server: StartServer, make_settings: MakeSettings) -> None:
    server = await start_server(compressed(200, [{"id": 1}], coding))
    async with open_supabase(make_settings(server.url)) as client:
        assert await read(client) == [{"id": 1}]


async def test_status_204_means_a_void_function(start_server: StartServer, make_settings: MakeSettings) -> None:
    server = await start_server(send(b"HTTP/1.1 204 No Content\r\n\r\n"))
    async with open_supabase(make_settings(server.url)) as client:
        parsed(VOID, (await client.rpc("touch").execute()).data)


async def test_a_function_result_with_a_message_key_is_unreadable(
    start_server: StartServer, make_settings: MakeSettings
) -> None:
    server = await start_server(answer(200, {"message": "hello"}))
    async with open_supabase(make_settings(server.url)) as client:
        with pytest.raises(UnreadableResponse, match="hello"):
            await call(client)


async def test_name_that_does_not_resolve_is_unavailable(make_settings: MakeSettings) -> None:
    async with open_supabase(make_settings("http://no-such-host.invalid", supabase_retries=0)) as client:
        with pytest.raises(SupabaseUnavailable) as caught:
            await read(client)
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
