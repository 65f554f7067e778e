"""Errors inside a request: one traceback without keys, and the request id in the response."""

import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi.responses import StreamingResponse

from app.api.middleware import MAX_BODY
from app.config import ApiSettings
from app.errors import BroadsheetError, CircuitOpen, QuotaExceeded, SupabaseUnavailable, TaskNotFound
from tests.support.logs import development_logs
from tests.support.running_api import KEY, RunningApi


def caller(api: RunningApi, key: str | None = KEY) -> httpx.AsyncClient:
    headers = {} if key is None else {"X-API-Key": key}
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", headers=headers, trust_env=False)


async def pieces(total: int) -> AsyncIterator[bytes]:
    for _ in range(0, total, 50_000):
        yield b" " * 50_000


async def test_an_unexpected_error_is_logged_once_with_the_id(
    api: RunningApi, settings: ApiSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken() -> None:
        local_values: Any = {"key": KEY, "much": "x" * 1_000_000}
        raise LookupError(f"nobody foresaw this, {len(local_values)}")

    api.app.add_api_route("/broken", broken)
    with development_logs(settings):
        async with caller(api) as http:
            begin = time.process_time()
            answer = await http.get("/broken", headers={"X-Request-ID": "from-the-caller"})
            took = time.process_time() - begin
    output = capsys.readouterr().err
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "from-the-caller")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "nobody foresaw" not in answer.text
    assert output.count("Traceback (most recent call last)") == 1
    assert output.count("LookupError: nobody foresaw this, 2") == 1
    assert "from-the-caller" in output
    assert KEY not in output
    assert len(output) < 20_000
    assert took < 2


@pytest.mark.parametrize(
    ("error", "status", "seconds"),
    [
        (CircuitOpen("The model rests.", retry_after=41.6), 503, "42"),
        (CircuitOpen("The model rests.", retry_after=0.2), 503, "1"),
        (QuotaExceeded("Enough for today.", retry_after=41.2), 429, "42"),
        (QuotaExceeded("Enough for today.", retry_after=0.0), 429, "1"),
        (SupabaseUnavailable("Nobody answers."), 503, "5"),
        (TaskNotFound("There is none."), 404, None),
    ],
    ids=repr,
)
async def test_a_response_has_retry_after(
    error: BroadsheetError, status: int, seconds: str | None, api: RunningApi
) -> None:
    async def tired() -> None:
        raise error

    api.app.add_api_route("/tired", tired)
    async with caller(api) as http:
        answer = await http.get("/tired")
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, seconds)
    assert (answer.json()["title"], answer.json()["detail"]) == (error.title, str(error))


async def test_without_a_database_the_scrape_reports_it(api: RunningApi) -> None:
    api.app.state.metrics.database_up.set(1)
    async with caller(api) as http:
        answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert "broadsheet_database_up 0.0" in answer.text.splitlines()


async def test_an_error_after_the_response_began_disconnects(api: RunningApi, caplog: pytest.LogCaptureFixture) -> None:
    async def begun() -> AsyncIterator[bytes]:
        yield b"half"
        raise LookupError("too late for another answer")

    async def half() -> StreamingResponse:
        return StreamingResponse(begun())

    api.app.add_api_route("/half", half)
    async with caller(api) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("/half")
    (logged,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert logged.exc_info is not None
    assert logged.exc_info[0] is LookupError


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "announced"])
async def test_a_body_over_the_limit_is_413_however_it_is_sent(chunked: bool, api: RunningApi) -> None:
    content = pieces(MAX_BODY + 100_000) if chunked else b" " * (MAX_BODY + 1)
    async with caller(api) as http:
        answer = await http.post("/v1/fetches", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert str(MAX_BODY) in answer.json()["detail"]
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("key", [None, "wrong" * 4])
@pytest.mark.parametrize(
    "body", [b"{", b" " * (MAX_BODY + 1), "chunked"], ids=["not JSON", "too large", "too large, chunked"]
)
async def test_the_key_is_checked_before_the_body(body: Any, key: str | None, api: RunningApi) -> None:
    content = pieces(MAX_BODY + 100_000) if body == "chunked" else body
    async with caller(api, key) as http:
        answer = await http.post("/v1/digests", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 401
    assert answer.json()["title"] == "Unauthorized"
    assert answer.headers["www-authenticate"]


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nowhere", "/%76%31/tasks", "/metrics", "/metrics/"])
async def test_below_v1_every_path_needs_a_key(path: str, api: RunningApi) -> None:
    async with caller(api, None) as http:
        assert (await http.get(path)).status_code == 401
