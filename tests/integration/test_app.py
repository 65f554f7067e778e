"""The API application with a small real server: one client, readiness, problem documents."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
import supabase
from supabase import AsyncClient

from app.client import factory
from app.config import ApiSettings
from app.main import create_app
from tests.support.scripted_server import ScriptedServer, answer


@asynccontextmanager
async def api_on(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The started application, called without a network."""
    values = {"supabase_url": url, "supabase_key": "sb_secret_x", "supabase_retries": 0, "api_keys": "k" * 16}
    settings = ApiSettings.model_validate(values)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        assert isinstance(app.state.supabase, AsyncClient)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            yield client


@pytest.fixture
async def current_supabase() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(answer(200, 1_000_000))
    await server.start()
    yield server
    await server.stop()


async def test_two_hundred_requests_are_served_by_one_client(
    current_supabase: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0

    async def counting(*arguments: Any) -> AsyncClient:
        nonlocal made
        made += 1
        return await supabase.create_async_client(*arguments)

    monkeypatch.setattr(factory, "create_async_client", counting)
    async with api_on(current_supabase.url) as api:
        statuses = [(await api.get(path)).status_code for path in ("/healthz", "/readyz") * 100]
    assert statuses == [200] * 200
    assert made == 1
    assert len(current_supabase.seen) == 100


async def test_it_starts_without_supabase_and_is_not_ready() -> None:
    async with api_on("http://127.0.0.1:9") as api:
        alive, ready = await api.get("/healthz"), await api.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert ready.status_code == 503
    assert ready.headers["content-type"] == "application/problem+json"
    assert ready.headers["retry-after"] == "5"
    assert ready.json()["title"] == "Supabase unavailable"
    assert "ConnectError" in ready.json()["detail"]


async def test_outdated_schema_is_not_ready_and_names_the_command() -> None:
    server = ScriptedServer(answer(200, 0))
    await server.start()
    async with api_on(server.url) as api:
        ready = await api.get("/readyz")
    await server.stop()
    assert ready.status_code == 503
    assert ready.json()["title"] == "Database schema outdated"
    assert "make migrate" in ready.json()["detail"]


async def test_unknown_path_is_a_problem_document(current_supabase: ScriptedServer) -> None:
    async with api_on(current_supabase.url) as api:
        missing = await api.get("/nowhere")
    assert missing.headers["content-type"] == "application/problem+json"
    assert missing.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "Not Found",
        "instance": "/nowhere",
    }


@pytest.mark.parametrize("body", ["", "null"])
async def test_an_unreadable_response_is_not_a_missing_task(body: str) -> None:
    server = ScriptedServer(answer(200, body))
    await server.start()
    async with api_on(server.url) as api:
        task = await api.get(f"/v1/fetches/{uuid4()}", headers={"X-API-Key": "k" * 16})
    await server.stop()
    assert task.status_code == 503
    assert task.headers["retry-after"]
    assert task.json()["title"] == "Supabase unavailable"
