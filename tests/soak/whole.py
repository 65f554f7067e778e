"""Work that is never broken off in the middle."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def whole(work: Coroutine[Any, Any, object]) -> None:
    """Await `work`; if this is cancelled, do so when the work has ended."""
    running = asyncio.ensure_future(work)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await running
        raise
