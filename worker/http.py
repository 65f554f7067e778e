"""The worker's own `/healthz` and `/metrics`, for platforms that check every process. Off without WORKER_PORT."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus

from aiohttp import web

from app.process.metrics import CONTENT_TYPE, Metrics
from app.process.private_port import open_listener, serve_private_port
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
    """Serve while the context is open. Does nothing without a port.

    `/healthz` lists what is `not_configured`. Its status is 503 if the claim loop has made no call for a `lease`; an
    outage of Supabase does not change it.
    Raises `ConfigurationError` if the port is in use.
    """
    if port is None:
        yield
        return
    async with serve_private_port(
        _application(metrics, health, lease, not_configured), open_listener(host, port, "WORKER_PORT")
    ):
        yield


def _application(
    metrics: Metrics, health: Callable[[], LoopHealth], lease: timedelta, not_configured: Mapping[str, str]
) -> web.Application:
    async def healthz(_request: web.Request) -> web.Response:
        now = health()
        running = now.since_last_call < lease.total_seconds()
        since_last_response = None if now.since_last_response is None else round(now.since_last_response, 3)
        body = {
            "status": "ok" if running else "the claim loop has stopped",
            "running_tasks": now.running_tasks,
            "seconds_since_last_call": round(now.since_last_call, 3),
            "seconds_since_last_response": since_last_response,
            "not_configured": dict(not_configured),
        }
        return web.json_response(body, status=HTTPStatus.OK if running else HTTPStatus.SERVICE_UNAVAILABLE)

    async def metrics_page(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/metrics", metrics_page)])
    return application
