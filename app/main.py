"""Builds the API application: `create_app()`, whose lifespan opens the Supabase client."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

from fastapi import FastAPI, Security
from fastapi.telemetry import TelemetryConfig

from app.api import (
    admin,
    callbacks,
    deliveries,
    digests,
    fetches,
    health,
    imports,
    listings,
    mail_hook,
    papers,
    reader_libraries,
    readers,
    saved,
)
from app.api import metrics as metrics_route
from app.api.auth import KEY_HEADER, RequireKey
from app.api.connection import ON_STOP
from app.api.digest_pages import DigestPages
from app.api.middleware import BodyLimit, RequestContext
from app.api.openapi import DESCRIPTION, TAGS, describe
from app.api.problems import install_problem_handlers
from app.api.request_spans import trace_requests
from app.client.factory import open_supabase
from app.conditions.monitor import ConditionMonitor, open_callbacks
from app.config import ApiSettings, load_settings
from app.external.client import open_external
from app.installation.versions import project_version, require_locked_versions
from app.libraries.connection import open_library_connections
from app.links import Links
from app.mail.bounces import BounceReader
from app.pages.ops.overview_cache import OverviewCache
from app.pages.routes import error_page, pages_router
from app.persistence.watched_tasks import WatchedTasks
from app.process.metrics import Metrics
from app.process.private_port import serve_private_port
from app.services import Services
from app.task_hub import TaskHub

NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False, operation_spans=False, auto_configure=False)
"""FastAPI would write `url.path`, which has readers' tokens, beside the spans of `app.api.request_spans`."""


def create_app(
    settings: ApiSettings | None = None,
    *,
    metrics_listener: socket.socket | None = None,
) -> FastAPI:
    """Build the API. Without `settings`, they are loaded at start-up, so that building needs no environment.

    `metrics_listener` serves the metrics without a key; do not route it to callers. Start-up raises
    `ConfigurationError` if the settings are invalid or the installed packages differ from the lock. It succeeds while
    Supabase is unavailable; `/readyz` reports that.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Callable[[], None]]]:
        require_locked_versions()
        app.state.settings = settings or load_settings(ApiSettings)
        app.state.links = _links(app.state.settings)
        app.state.bounces = BounceReader([s.get_secret_value() for s in app.state.settings.resend_webhook_secret])
        opened = open_supabase(app.state.settings, counters=metrics.supabase_counters)
        async with AsyncExitStack() as stack:
            app.state.supabase = client = await stack.enter_async_context(opened)
            app.state.services = services = Services.build(client)
            app.state.hub = hub = TaskHub(WatchedTasks(client))
            app.state.overview_cache = overview_cache = OverviewCache(services.operator.overview)
            app.state.library_connections = await stack.enter_async_context(
                open_library_connections(services, app.state.settings)
            )
            metrics.watchers.set_function(lambda: hub.watchers)
            await stack.enter_async_context(hub.running())
            await stack.enter_async_context(metrics.measuring_loop_lag())
            await _watch_conditions(stack, services, app.state.settings)
            if metrics_listener is not None:
                scrape_app = metrics_route.scrape_app(metrics, services)
                await stack.enter_async_context(serve_private_port(scrape_app, metrics_listener))

            def stop() -> None:
                hub.release()
                overview_cache.release()

            yield {ON_STOP: stop}

    app = FastAPI(
        title="Broadsheet",
        version=project_version(),
        summary="Personal research digests.",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        telemetry=NO_TELEMETRY,
    )
    app.state.metrics = metrics
    app.state.digest_pages = DigestPages()
    install_problem_handlers(app, error_page())
    app.include_router(health.router)
    tasks = (digests, fetches, callbacks, imports, listings)
    protected = (*tasks, readers, reader_libraries, papers, saved, deliveries, admin, metrics_route)
    for module in protected:
        app.include_router(module.router, dependencies=[Security(KEY_HEADER)])
    app.include_router(mail_hook.router)
    # Last, because a request is compared with every route before its own, and these are half of all routes.
    app.include_router(pages_router())
    app.add_middleware(BodyLimit)
    app.add_middleware(RequireKey)
    app.add_middleware(RequestContext, metrics=metrics)
    trace_requests(app)
    describe(app)
    return app


async def _watch_conditions(stack: AsyncExitStack, services: Services, settings: ApiSettings) -> None:
    """Watch the conditions until `stack` closes, if OPERATOR_CALLBACK_URL is set: a worker cannot report its end."""
    if settings.operator_callback_url is None:
        return
    callbacks = open_callbacks(await stack.enter_async_context(open_external()), settings)
    monitor = ConditionMonitor(services.health, services.condition_states, callbacks, random=Random())  # noqa: S311  (jitter)
    await stack.enter_async_context(monitor.running())


def _links(settings: ApiSettings) -> Links | None:
    """Return the verifier of readers' links; None without a secret, because then there are no links."""
    secrets = [secret.get_secret_value() for secret in settings.link_secret]
    return Links(secrets, settings.public_url or "") if secrets else None
