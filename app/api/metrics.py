"""`/metrics`: this process's metrics, and those of the queue and the circuit breakers from the database."""

import asyncio
from collections import Counter

import structlog
from aiohttp import web
from fastapi import APIRouter, Request, Response

from app.api.auth import CallerOf
from app.api.tasks import UNAUTHORIZED, ServicesOf
from app.conditions.catalog import CONDITIONS
from app.conditions.report import observe, report_of
from app.errors import SupabaseError
from app.process.metrics import CONTENT_TYPE, Metrics
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
    """Return the metrics in Prometheus' text format. Only admins get the metrics of each caller.

    While Supabase is unavailable, only the queue's metrics are missing.
    """
    text = await _read(request.app.state.metrics, services, callers=caller.admin)
    return Response(text, headers={"Content-Type": CONTENT_TYPE})


def scrape_app(metrics: Metrics, services: Services) -> web.Application:
    """Build the application that serves all metrics on METRICS_PORT without a key."""

    async def text(_request: web.Request) -> web.Response:
        return web.Response(body=await _read(metrics, services, callers=True), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.add_routes([web.get("/metrics", text)])
    return application


async def _read(metrics: Metrics, services: Services, *, callers: bool) -> bytes:
    await _refresh_queue(metrics, services)
    await _refresh_conditions(metrics, services)
    return metrics.text(callers=callers)


async def _refresh_queue(metrics: Metrics, services: Services) -> None:
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            await _read_queue(metrics, services)
        metrics.database_up.set(1)
    except (SupabaseError, TimeoutError) as error:
        metrics.database_up.set(0)
        log.warning("queue metrics not read", error=str(error))


async def _read_queue(metrics: Metrics, services: Services) -> None:
    stats = await services.maintenance.queue_stats()
    metrics.queue_depth.clear()
    metrics.queue_oldest_task_age.clear()
    for depth in stats.depth:
        metrics.queue_depth.labels(depth.kind.value, depth.status.value).set(depth.tasks)
        if depth.status.value == "pending":
            metrics.queue_oldest_task_age.labels(depth.kind.value).set(depth.oldest_seconds)
    breakers = await services.breakers.states()
    metrics.circuit_breaker_open.clear()  # a breaker that no longer exists has no figure
    for breaker in breakers:
        metrics.circuit_breaker_open.labels(breaker.name).set(breaker.state != "closed")


async def _refresh_conditions(metrics: Metrics, services: Services) -> None:
    observation = await observe(services.health.facts, within=READ_TIMEOUT)
    problems = Counter(problem.condition for problem in report_of(observation).problems)
    unknown = isinstance(observation.facts, SupabaseError)
    metrics.condition.clear()
    for condition in CONDITIONS:
        if problems[condition.name] or not unknown:
            metrics.condition.labels(condition.name, condition.severity.value).set(problems[condition.name])
