"""Fixtures of modules that start a separate emulator: such a module defines `stack` and `database`."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
import pytest_asyncio

from embedded.stack import Ready, Stack


@pytest.fixture
def ready(stack: Stack) -> Ready:
    assert stack.ready is not None
    return stack.ready


@pytest_asyncio.fixture(loop_scope="module")
async def http(ready: Ready, database: asyncpg.Connection) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001  (made)
    headers = {"apikey": ready.secret_key}
    async with httpx.AsyncClient(base_url=f"{ready.url}/rest/v1", headers=headers, trust_env=False, timeout=30) as http:
        yield http
