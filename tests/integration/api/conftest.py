"""The API on a port of this process, and raw connections to it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import uvicorn
import uvloop

from app.api.connection import BoundedProtocol
from app.config import ApiSettings
from embedded.stack import Ready
from tests.support.applications import application
from tests.support.running_api import KEY, QuickServer, RunningApi


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The API runs on uvloop, whose transports differ from asyncio's after they are closed."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def settings() -> ApiSettings:
    values = {"supabase_url": "http://127.0.0.1:9", "supabase_key": "sb_secret_x", "supabase_retries": 0}
    return ApiSettings.model_validate(values | {"api_keys": KEY})


@pytest.fixture
def protocol() -> type[BoundedProtocol]:
    """The protocol class; tests that wait for its deadlines use `HastyProtocol`."""
    return BoundedProtocol


@pytest.fixture
def keep_alive() -> int:
    """Seconds for which an idle connection is kept: long, for slow machines."""
    return 60


@pytest.fixture
async def api(settings: ApiSettings, protocol: type[BoundedProtocol], keep_alive: int) -> AsyncIterator[RunningApi]:
    with application(settings) as app, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            app, http=protocol, ws="none", log_config=None, access_log=False, timeout_keep_alive=keep_alive
        )
        server = QuickServer(config)
        # Not serve(): it would install signal handlers, which belong to the test run.
        serving = asyncio.create_task(server._serve([listener]))  # noqa: SLF001  (the comment above says why)
        while not server.started:
            await asyncio.sleep(0.001)
        yield RunningApi(app, server, port)
        server.end()
        await serving


@pytest.fixture
async def called(stack: Ready, database_reset: None) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001  (run first)
    values = {"supabase_url": stack.url, "supabase_key": stack.secret_key, "api_keys": KEY, "admins": "default"}
    with application(ApiSettings.model_validate(values)) as app:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            headers = {"X-API-Key": KEY}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://api", headers=headers, timeout=60
            ) as http:
                yield http
