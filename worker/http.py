"""The worker's own `/healthz` and `/metrics`, for platforms that look at every process; off without WORKER_PORT."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from app.metrics import CONTENT_TYPE, Metrics
from app.private_http import listen, private_http


@asynccontextmanager
async def worker_http(metrics: Metrics, host: str, port: int | None) -> AsyncIterator[None]:
    """Serve while the context is open; does nothing without a port.

    Raises `ConfigurationError` if the port is taken.
    """
    if port is None:
        yield
        return
    async with private_http(_application(metrics), listen(host, port, "WORKER_PORT")):
        yield


def _application(metrics: Metrics) -> web.Application:
    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def text(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/metrics", text)])
    return application
