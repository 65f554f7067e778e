"""Waits for the state of an emulator's gateway."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

BLOCKED_REQUESTS = "select count(*) from pg_stat_activity where usename = 'authenticator' and wait_event = 'advisory'"
"""The number of requests that wait for an advisory lock."""


async def eventually(read: Callable[[], Awaitable[Any]], expected: Any) -> None:
    """Repeat `read` until it returns the expected value."""
    async with asyncio.timeout(20):
        while await read() != expected:
            await asyncio.sleep(0.01)
