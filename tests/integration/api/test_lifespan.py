"""A started application: one hub that polls Supabase for watched tasks, its metrics, and its shutdown."""

import asyncio

import pytest
from structlog.testing import capture_logs

from app.api import health, metrics
from app.api.connection import ON_STOP
from app.config import ApiSettings
from app.main import create_app
from app.models.tasks import Task
from tests.integration.api.recorded_requests import api_before, headers_of, recorded_calls
from tests.support.operators import KEYS
from tests.support.rows import ID, TASK
from tests.support.scripted_server import ScriptedServer, answer, stall


async def test_watched_tasks_are_polled_counted_and_released() -> None:
    done = TASK | {"status": "completed"}
    half = answer(200, {"changed": [{"version": "2", "task": TASK | {"message": "half way"}}], "gone": []})
    server = ScriptedServer(half, answer(200, {"changed": [{"version": "3", "task": done}], "gone": []}))
    await server.start()
    values = {"supabase_url": server.url, "supabase_key": "sb_secret_x", "supabase_retries": 0, "api_keys": KEYS}
    app = create_app(ApiSettings.model_validate(values))
    watchers = "broadsheet_open_streams"
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        with app.state.hub.watching(Task.model_validate(TASK)) as watcher:
            assert app.state.metrics.registry.get_sample_value(watchers) == 1
            assert await watcher.wait_for_update(10)
            assert watcher.task.message == "half way"
            assert recorded_calls(server)[0] == ("watch_tasks", {"p_known": {ID: ""}})
            state[ON_STOP]()
            assert watcher.ended
        assert app.state.metrics.registry.get_sample_value(watchers) == 0
    assert all(each.get_name() != "task hub" for each in asyncio.all_tasks())
    await server.stop()


async def test_readiness_does_not_wait_for_a_hanging_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "READY_TIMEOUT", 0.05)
    async with api_before(stall) as (http, _server):
        found = await http.get("/readyz")
    assert (found.status_code, found.headers["retry-after"]) == (503, "5")
    assert found.json()["detail"] == "Supabase did not respond within 0.05 s."


async def test_callers_requests_are_logged_and_probes_are_not() -> None:
    async with api_before([]) as (http, _server):
        with capture_logs() as logs:
            await http.get("/healthz")
            await http.get("/v1/tasks", headers=headers_of("ada"))
    (line,) = [each for each in logs if each["event"] == "request"]
    assert {name: line[name] for name in ("method", "route", "status", "caller")} == {
        "method": "GET",
        "route": "/v1/tasks",
        "status": 200,
        "caller": "ada",
    }


def test_time_limits_of_probes_and_scrapes() -> None:
    assert (health.READY_TIMEOUT, metrics.READ_TIMEOUT) == (4, 2)
