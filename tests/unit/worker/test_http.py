"""The exact responses of the worker's own port."""

from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

from app.process.metrics import Metrics
from worker.http import worker_http
from worker.watchdog import LoopHealth

LEASE = timedelta(seconds=60)
LACKING = {"MAIL_URL": "no mails"}


async def response_of(path: str, metrics: Metrics, health: LoopHealth) -> tuple[int, str, str]:
    port = unused_port()
    async with (
        worker_http(metrics, lambda: health, LEASE, LACKING, host="127.0.0.1", port=port),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
        http.get(path) as answer,
    ):
        return answer.status, answer.headers["Content-Type"], await answer.text()


@pytest.mark.parametrize(
    ("health", "status", "body"),
    [
        (
            LoopHealth(2, 0.12345, None),
            200,
            '{"status": "ok", "running_tasks": 2, "seconds_since_last_call": 0.123,'
            ' "seconds_since_last_response": null, "not_configured": {"MAIL_URL": "no mails"}}',
        ),
        (
            LoopHealth(0, 59.9994, 60.0006),
            200,
            '{"status": "ok", "running_tasks": 0, "seconds_since_last_call": 59.999,'
            ' "seconds_since_last_response": 60.001, "not_configured": {"MAIL_URL": "no mails"}}',
        ),
        (
            LoopHealth(1, 60.0, 61.5),
            503,
            '{"status": "the claim loop has stopped", "running_tasks": 1, "seconds_since_last_call": 60.0,'
            ' "seconds_since_last_response": 61.5, "not_configured": {"MAIL_URL": "no mails"}}',
        ),
    ],
)
async def test_healthz_reports_the_claim_loop(health: LoopHealth, status: int, body: str) -> None:
    assert await response_of("/healthz", Metrics(), health) == (status, "application/json; charset=utf-8", body)


async def test_metrics_are_in_prometheus_text_format() -> None:
    metrics = Metrics()
    metrics.tasks.labels("fetch", "completed").inc()
    status, kind, text = await response_of("/metrics", metrics, LoopHealth(0, 0.0, None))
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert text == metrics.text().decode()


async def test_without_a_port_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    def listened(*_arguments: Any) -> None:
        raise AssertionError("unexpected request")

    monkeypatch.setattr("worker.http.open_listener", listened)
    async with worker_http(Metrics(), lambda: LoopHealth(0, 0.0, None), LEASE, {}, host="127.0.0.1", port=None):
        pass
