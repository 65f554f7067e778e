"""`/metrics` on the API's port and on the metrics port: the queue, the circuit breakers, the process itself."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from app.api import metrics
from app.config import ApiSettings
from app.main import create_app
from tests.integration.api.recorded_requests import api_before, headers_of, recorded_calls
from tests.support.rows import HEALTH
from tests.support.scripted_server import ScriptedServer, answer, stall

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATS: dict[str, Any] = {
    "depth": [
        {"kind": "fetch", "status": "pending", "tasks": 3, "oldest_seconds": 12.5},
        {"kind": "fetch", "status": "running", "tasks": 2, "oldest_seconds": 99.0},
        {"kind": "digest", "status": "running", "tasks": 1, "oldest_seconds": 7.0},
    ]
}
EMPTY: dict[str, Any] = {"depth": []}
BREAKERS = [
    {"name": "arxiv", "state": "closed", "failures": 0, "retry_after": None},
    {"name": "model", "state": "open", "failures": 5, "retry_after": 30.0},
    {"name": "news", "state": "half_open", "failures": 5, "retry_after": 0.0},
]


def samples(text: str, name: str) -> dict[tuple[str, ...], float]:
    """The values of a metric by its label values."""
    families = text_string_to_metric_families(text)
    found = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(sample.labels.values()): sample.value for sample in found}


def value(text: str, name: str) -> float:
    return samples(text, name)[()]


async def scraped(http: httpx.AsyncClient) -> str:
    found = await http.get("/metrics", headers=headers_of("ada"))
    assert (found.status_code, found.headers.get_list("content-type")) == (200, [MEDIA_TYPE])
    return found.text


async def test_metrics_of_callers_are_shown_only_to_admins() -> None:
    async with api_before(*(STATS, BREAKERS, HEALTH) * 3) as (http, _server):
        first = await scraped(http)
        second = await scraped(http)
        admins = (await http.get("/metrics", headers=headers_of("root"))).text
    assert "ada" not in first + second
    assert samples(second, "broadsheet_http_request_duration_seconds_count")[("GET", "/metrics", "200")] >= 1
    assert samples(admins, "broadsheet_caller_requests_total")[("ada", "200")] >= 2


async def test_metrics_show_the_current_queue_and_breakers() -> None:
    async with api_before(STATS, BREAKERS, HEALTH, EMPTY, [], HEALTH) as (http, server):
        text = await scraped(http)
        assert samples(text, "broadsheet_queue_depth") == {
            ("fetch", "pending"): 3,
            ("fetch", "running"): 2,
            ("digest", "running"): 1,
        }
        assert samples(text, "broadsheet_queue_oldest_task_age_seconds") == {("fetch",): 12.5}
        assert samples(text, "broadsheet_circuit_breaker_open") == {("arxiv",): 0, ("model",): 1, ("news",): 1}
        assert value(text, "broadsheet_database_up") == 1
        assert value(text, "broadsheet_open_streams") == 0
        later = await scraped(http)
        assert (
            samples(later, "broadsheet_queue_depth") == samples(later, "broadsheet_queue_oldest_task_age_seconds") == {}
        )
        assert recorded_calls(server) == [("queue_stats", {}), ("breaker_states", {}), ("operator_health", {})] * 2


@pytest.mark.parametrize("step", [answer(500, {"message": "no"}), stall], ids=["an error", "no answer"])
async def test_metrics_that_time_out_are_omitted_and_logged(step: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "READ_TIMEOUT", 0.2)
    async with api_before(step, step) as (http, _server):
        with capture_logs() as logs:
            text = await scraped(http)
    assert value(text, "broadsheet_database_up") == 0
    (line,) = [each for each in logs if each["event"] == "queue metrics not read"]
    assert (line["log_level"], "error" in line) == ("warning", True)


@asynccontextmanager
async def api_with_scrapers() -> AsyncIterator[tuple[Any, str]]:
    """The started application, and the URL of its metrics port."""
    server = ScriptedServer(answer(200, STATS), answer(200, BREAKERS), answer(200, HEALTH))
    await server.start()
    values = {"supabase_url": server.url, "supabase_key": "sb_secret_x", "supabase_retries": 0, "api_keys": "k" * 16}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = create_app(ApiSettings.model_validate(values), metrics_listener=listener)
        async with app.router.lifespan_context(app):
            yield app, f"http://127.0.0.1:{listener.getsockname()[1]}"
    await server.stop()


async def test_the_metrics_port_needs_no_key() -> None:
    async with api_with_scrapers() as (app, address), httpx.AsyncClient(base_url=address, trust_env=False) as http:
        app.state.metrics.caller_requests.labels("ada", "200").inc()
        found = await http.get("/metrics")
        assert (found.status_code, found.headers.get_list("content-type")) == (200, [MEDIA_TYPE])
        assert samples(found.text, "broadsheet_queue_oldest_task_age_seconds") == {("fetch",): 12.5}
        assert samples(found.text, "broadsheet_caller_requests_total") == {("ada", "200"): 1}
        assert value(found.text, "broadsheet_database_up") == 1
        # The same process counts the calls of this scrape.
        assert samples(app.state.metrics.text().decode(), "broadsheet_supabase_calls_total") == {("200",): 3}
        assert (await http.get("/v1/tasks")).status_code == 404


async def test_metrics_show_loop_lag_and_open_streams() -> None:
    async with api_with_scrapers() as (app, _address):
        async with asyncio.timeout(10):
            while value(app.state.metrics.text().decode(), "broadsheet_event_loop_lag_seconds_count") == 0:
                await asyncio.sleep(0.01)
