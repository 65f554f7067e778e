"""`python -m benchmarks.watched_api NAME ADDRESS [KEY]`: our API or a rival's, which measures its event loop's lag.

`GET /lag` returns the lag since the last request, `GET /watchers` (ours only) the number of open streams. A rival's API
has only the measured route, on FastAPI and uvicorn like ours, without keys, ids, logs and metrics.
"""

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request

from app.api.connection import BoundedProtocol
from app.api.models import DigestView
from app.config import ApiSettings
from app.main import create_app
from app.models.tasks import Task
from app.process.gc_freeze import freeze_loaded_objects
from app.process.logs import configure_logs
from app.task_hub import TaskHub
from benchmarks.report import percentile
from benchmarks.rivals import KEY, RIVALS, watching

API_KEY = "benchmark-key-0123456789"


def ours(address: str, key: str = KEY) -> FastAPI:
    """Broadsheet's API with production settings."""
    settings = ApiSettings.model_validate(
        {"supabase_url": address, "supabase_key": key, "api_keys": API_KEY, "environment": "production"}
    )
    configure_logs(settings)
    app = create_app(settings)

    @app.get("/watchers")
    async def watchers() -> int:
        hub: TaskHub = app.state.hub
        return hub.watchers

    return app


def rival(name: str, address: str) -> FastAPI:
    """An API with only the polled route, on a rival's client."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with RIVALS[name](address) as read:
            app.state.read = read
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/v1/digests/{task_id}")
    async def get_digest(task_id: str, request: Request) -> DigestView:  # noqa: ARG001  (part of the path)
        task: Task = await request.app.state.read()
        return DigestView.with_digest(task, None)

    return app


def watched(app: FastAPI) -> FastAPI:
    """Add the lag measurement to `app`."""
    lags: list[float] = []
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with inner(app):
            with watching(lags):
                yield

    app.router.lifespan_context = lifespan

    @app.get("/lag")
    async def lag() -> dict[str, float]:
        found = {"p50_ms": percentile(lags, 0.5) * 1e3, "p99_ms": percentile(lags, 0.99) * 1e3}
        lags.clear()
        return found

    return app


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    which = sys.argv[1]
    api = ours(*sys.argv[2:]) if which == "ours" else rival(which, sys.argv[2])
    if which == "ours":
        freeze_loaded_objects()
    http = BoundedProtocol if which == "ours" else "httptools"
    server = uvicorn.Server(uvicorn.Config(watched(api), loop="uvloop", http=http, log_config=None, access_log=False))
    server.run(sockets=[listener])
