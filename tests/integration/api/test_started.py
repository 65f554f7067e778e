"""What a started application holds: one hub that asks Supabase for what is watched, figures of it, and its end."""

import asyncio

import pytest
from structlog.testing import capture_logs

from app.api import health, metrics
from app.api.connection import ON_STOP
from app.config import ApiSettings
from app.main import create_app
from app.models import Task
from tests.integration.api.asking import api_before, asked_of, headers_of
from tests.integration.api.operators import KEYS
from tests.integration.api.rows import ID, TASK
from tests.integration.client.scripted_server import ScriptedServer, answer, stall


async def test_what_is_watched_is_asked_of_supabase_counted_and_let_go_when_the_process_stops() -> None:
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
            assert asked_of(server)[0] == ("watch_tasks", {"p_known": {ID: ""}})
            state[ON_STOP]()
            assert watcher.ended
        assert app.state.metrics.registry.get_sample_value(watchers) == 0
    assert all(each.get_name() != "task hub" for each in asyncio.all_tasks())
    await server.stop()


async def test_a_database_that_hangs_is_not_waited_for_by_whoever_asks_whether_we_are_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "READY_TIMEOUT", 0.05)
    async with api_before(stall) as (http, _server):
        found = await http.get("/readyz")
    assert (found.status_code, found.headers["retry-after"]) == (503, "5")
    assert found.json()["detail"] == "Supabase did not respond within 0.05 s."


async def test_what_machines_ask_for_is_not_logged_and_what_callers_ask_for_is() -> None:
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


def test_how_long_machines_and_scrapers_are_let_wait() -> None:
    assert (health.READY_TIMEOUT, metrics.READ_TIMEOUT) == (4, 2)
