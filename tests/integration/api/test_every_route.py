"""Every route, over HTTP and on a real database, while no thread can be had."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import anyio.to_thread
import asyncpg
import httpx
import pytest
from starlette.concurrency import run_in_threadpool

from app.config import ApiSettings
from embedded.stack import Ready
from tests.built_application import operations
from tests.every_route import SETTINGS, requests, system_of
from tests.integration.api.conftest import RunningApi
from tests.integration.api.operators import settings_with_operators


class ThreadRefused(Exception):
    """Somebody asked for a thread."""


@contextmanager
def no_threads() -> Iterator[list[object]]:
    """Let no thread start, and no thread take work; yields who asked. Only the event loop may look up names."""
    submit, refused = ThreadPoolExecutor.submit, list[object]()

    def refuse(*arguments: Any, **_: Any) -> Any:
        refused.append(arguments[0])
        raise ThreadRefused(arguments)

    def look_up(pool: ThreadPoolExecutor, function: Any, *arguments: Any, **options: Any) -> Any:
        if function not in {socket.getaddrinfo, socket.getnameinfo}:
            refuse(function)
        return submit(pool, function, *arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        patched.setattr(ThreadPoolExecutor, "submit", look_up)
        patched.setattr(anyio.to_thread, "run_sync", refuse)
        yield refused


@pytest.fixture
def settings(stack: Ready, database: asyncpg.Connection) -> ApiSettings:  # noqa: ARG001  (emptied)
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


async def test_whoever_asks_for_a_thread_is_refused() -> None:
    loop = asyncio.get_running_loop()
    with no_threads() as refused:
        for asking in (run_in_threadpool, asyncio.to_thread, lambda work: loop.run_in_executor(None, work)):
            with pytest.raises(ThreadRefused):
                await asking(int)
        with pytest.raises(ThreadRefused):
            threading.Thread(target=int).start()
    assert len(refused) == 4
