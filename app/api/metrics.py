"""`/metrics`: what this process counts, and the queue and the breakers as the database has them."""

import asyncio

import structlog
from aiohttp import web
from fastapi import APIRouter, Request, Response

from app.api.auth import CallerOf
from app.api.tasks import UNAUTHORIZED, ServicesOf
from app.errors import SupabaseError
from app.metrics import CONTENT_TYPE, Metrics
from app.services import Services

log = structlog.get_logger(__name__)

READ_TIMEOUT = 2.0

router = APIRouter(tags=["health"], responses=UNAUTHORIZED)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text"}},
)
async def metrics(request: Request, services: ServicesOf, caller: CallerOf) -> Response:
    """Return the figures in Prometheus' text format; those of single callers only to admins.

    Without Supabase the queue's figures are missing, the others are not.
    """
    text = await _read(request.app.state.metrics, services, callers=caller.admin)
    return Response(text, headers={"Content-Type": CONTENT_TYPE})


def scrape_app(counted: Metrics, services: Services) -> web.Application:
    """All figures on a port of its own (METRICS_PORT), without a key."""

    async def text(_request: web.Request) -> web.Response:
        return web.Response(body=await _read(counted, services, callers=True), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.add_routes([web.get("/metrics", text)])
    return application


async def _read(counted: Metrics, services: Services, *, callers: bool) -> bytes:
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            await _refresh(counted, services)
        counted.database_up.set(1)
    except (SupabaseError, TimeoutError) as error:
        counted.database_up.set(0)
        log.warning("queue figures not read", error=str(error))
    return counted.text(callers=callers)


async def _refresh(counted: Metrics, services: Services) -> None:
    stats = await services.maintenance.queue_stats()
    counted.queue_depth.clear()
    counted.queue_oldest_task_age.clear()
    for depth in stats.depth:
        counted.queue_depth.labels(depth.kind.value, depth.status.value).set(depth.tasks)
        if depth.status.value == "pending":
            counted.queue_oldest_task_age.labels(depth.kind.value).set(depth.oldest_seconds)
    for breaker in await services.breakers.states():
        counted.circuit_breaker_open.labels(breaker.name).set(breaker.state != "closed")
