"""The worker's own `/healthz` and `/metrics`, for platforms that look at every process; off without WORKER_PORT."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus

from aiohttp import web

from app.metrics import CONTENT_TYPE, Metrics
from app.private_http import open_listener, private_http
from worker.watchdog import LoopHealth


@asynccontextmanager
async def worker_http(
    metrics: Metrics,
    health: Callable[[], LoopHealth],
    lease: timedelta,
    not_configured: Mapping[str, str],
    *,
    host: str,
    port: int | None,
) -> AsyncIterator[None]:
    """Serve while the context is open; does nothing without a port.

    `/healthz` says what is `not_configured`. It is 503 once the claim loop has not turned for a `lease`; an outage of
    Supabase is no reason.
    Raises `ConfigurationError` if the port is taken.
    """
    if port is None:
        yield
        return
    async with private_http(
        _application(metrics, health, lease, not_configured), open_listener(host, port, "WORKER_PORT")
    ):
        yield


def _application(
    metrics: Metrics, health: Callable[[], LoopHealth], lease: timedelta, not_configured: Mapping[str, str]
) -> web.Application:
    async def healthz(_request: web.Request) -> web.Response:
        now = health()
        turning = now.since_turn < lease.total_seconds()
        body = {
            "status": "ok" if turning else "the claim loop has stopped",
            "running_tasks": now.running_tasks,
            "seconds_since_turn": round(now.since_turn, 3),
            "seconds_since_answer": None if now.since_answer is None else round(now.since_answer, 3),
            "not_configured": dict(not_configured),
        }
        return web.json_response(body, status=HTTPStatus.OK if turning else HTTPStatus.SERVICE_UNAVAILABLE)

    async def text(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/metrics", text)])
    return application
