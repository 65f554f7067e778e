"""Every route, over HTTP and on a real database, while no thread can be started."""

import asyncio
import threading

import asyncpg
import httpx
import pytest
from starlette.concurrency import run_in_threadpool

from app.config import ApiSettings
from embedded.stack import Ready
from tests.support.built_application import operations
from tests.support.every_route import SETTINGS, requests, system_of
from tests.support.operators import settings_with_operators
from tests.support.refused_threads import ThreadRefused, no_threads
from tests.support.running_api import RunningApi


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    return settings_with_operators(stack, **SETTINGS)


async def test_no_route_needs_a_thread(api: RunningApi, database: asyncpg.Connection) -> None:
    address = f"http://127.0.0.1:{api.port}"
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as http:
        with no_threads() as refused:
            system = await system_of(http, database)
            every = requests(system)
            for request in every:
                await system.send(request)
    assert refused == []
    assert operations(api.app) <= {request.operation for request in every}


async def test_starting_a_thread_is_refused() -> None:
    loop = asyncio.get_running_loop()
    with no_threads() as refused:
        for asking in (run_in_threadpool, asyncio.to_thread, lambda work: loop.run_in_executor(None, work)):
            with pytest.raises(ThreadRefused):
                await asking(int)
        with pytest.raises(ThreadRefused):
            threading.Thread(target=int).start()
    assert len(refused) == 4
