"""A caller who disconnects during its request causes no error of the service."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, MutableMapping
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs
from supabase import AsyncClient

from app.config import ApiSettings
from embedded.stack import Ready
from tests.support.running_api import KEY, RunningApi
from tests.support.tasks import insert_tasks
from tests.support.visitors import Visitor, settings_with_links, visitor_of

JSON, FORM, LINES = "application/json", "application/x-www-form-urlencoded", "application/x-ndjson"


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    return settings_with_links(stack).model_copy(update={"admins": ("default",)})


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient) -> AsyncIterator[Visitor]:
    async with visitor_of(api, client) as visitor:
        yield visitor


def incomplete_request(method: str, path: str, kind: str, *, key: str | None = None, chunked: bool = False) -> bytes:
    """A request that announces a longer body than it sends."""
    length = "transfer-encoding: chunked" if chunked else "content-length: 100"
    head = f"{method} {path} HTTP/1.1\r\nhost: api\r\ncontent-type: {kind}\r\n{length}\r\n"
    if key is not None:
        head += f"x-api-key: {key}\r\n"
    return f"{head}\r\n".encode() + (b"2\r\n{}\r\n" if chunked else b"{}")


async def log_of(api: RunningApi, sent: bytes) -> list[MutableMapping[str, Any]]:
    """The log lines of a request whose caller disconnects after the server has begun to process it."""
    with capture_logs() as logs:
        async with api.connected() as raw:
            await raw.send(sent)
            await until(lambda: bool(api.server.server_state.tasks or logs))
        await until(lambda: any(line["event"] == "request" for line in logs))
    return logs


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def pending_digest(database: asyncpg.Connection) -> UUID:
    await insert_tasks(database, 1, kind="digest", status="pending")
    found: UUID = await database.fetchval("select task_id from public.tasks")
    return found


def server_errors(api: RunningApi) -> float:
    """How many requests were counted as errors of the service."""
    counted = api.app.state.metrics.http_request_duration.collect()
    samples = [sample for family in counted for sample in family.samples if sample.name.endswith("_count")]
    return sum((float(sample.value) for sample in samples if sample.labels["status"].startswith("5")), 0.0)


KEYED = [
    ("POST", "/v1/digests", JSON),
    ("POST", "/v1/digests/batch", JSON),
    ("POST", "/v1/readers", JSON),
    ("POST", "/v1/readers/import", LINES),
    ("POST", "/v1/readers/{reader}/papers", JSON),
    ("PATCH", "/v1/readers/{reader}", JSON),
    ("POST", "/v1/admin/replays", JSON),
]
OPEN = [
    ("POST", "/hooks/mail", JSON),
    ("POST", "/ops/sign-in", FORM),
    ("POST", "/ops/sign-out", FORM),
    ("POST", "{unsubscribe}", FORM),
    ("POST", "{pause}", FORM),
    ("POST", "{schedule}", FORM),
    ("POST", "{preferences}", FORM),
]


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
@pytest.mark.parametrize(("method", "path", "kind"), [*KEYED, *OPEN], ids=str)
async def test_a_disconnect_in_a_body_is_499_and_no_error(
    method: str,
    path: str,
    kind: str,
    chunked: bool,
    api: RunningApi,
    visitor: Visitor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    links = {purpose: visitor.path(purpose) for purpose in ("unsubscribe", "pause", "schedule", "preferences")}
    path = path.format(reader=visitor.reader.reader_id, **links)
    key, before = KEY if path.startswith("/v1") else None, server_errors(api)
    logs = await log_of(api, incomplete_request(method, path, kind, key=key, chunked=chunked))
    if path == "/ops/sign-out":  # a request without a session is refused before the body is read
        assert [line["status"] for line in logs] == [403]
        return
    assert [(line["event"], line["log_level"], line["status"]) for line in logs] == [("request", "info", 499)]
    assert server_errors(api) == before
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_caller_who_stops_waiting_has_status_499(
    api: RunningApi, database: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    task_id = await pending_digest(database)
    head = f"GET /v1/digests/{task_id} HTTP/1.1\r\nhost: api\r\nx-api-key: {KEY}\r\nprefer: wait=60\r\n\r\n"
    with capture_logs() as logs:
        async with api.connected() as raw:
            await raw.send(head.encode())
            await until(lambda: api.app.state.hub.watchers == 1)
        await until(lambda: bool(logs))
    assert [line["status"] for line in logs] == [499]
    assert not caplog.records


async def test_a_stream_client_can_disconnect_at_any_time(
    api: RunningApi, database: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    task_id = await pending_digest(database)
    with capture_logs() as logs:
        url = f"http://127.0.0.1:{api.port}/v1/digests/{task_id}/events"
        async with (
            httpx.AsyncClient(trust_env=False, headers={"X-API-Key": KEY}, timeout=30) as http,
            http.stream("GET", url) as response,
        ):
            assert await anext(response.aiter_bytes())
        await until(lambda: any(line["event"] == "request" for line in logs))
    assert [line["status"] for line in logs] == [200]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_disconnect_does_not_change_a_sent_response(api: RunningApi) -> None:
    """The key is checked before the body: the response was sent before the caller disconnected."""
    logs = await log_of(api, incomplete_request("POST", "/v1/digests", JSON, key="wrong" * 4))
    assert [line["status"] for line in logs] == [401]
