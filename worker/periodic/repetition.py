"""Repeats the work of a periodic job, also after an expected error."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final, NoReturn

import structlog

from app.errors import SupabaseError
from app.sources.text import plain

log = structlog.get_logger(__name__)

_MAX_REASON: Final = 300


async def repeat(
    work: Callable[[], Awaitable[Any]],
    name: str,
    random: Random,
    *,
    interval: float,
    first_within: float | None = None,
    expected: tuple[type[Exception], ...] = (SupabaseError,),
) -> NoReturn:
    """Call `work` every `interval` seconds until cancelled. Log an `expected` error: the next call replaces this one.

    The first wait is a random part of `first_within` (default: of the interval), so that workers alternate.
    """
    await asyncio.sleep((interval if first_within is None else first_within) * random.random())
    while True:
        try:
            await work()
        except expected as error:
            log.warning(f"{name} postponed", error=plain(str(error), _MAX_REASON))
        await asyncio.sleep(interval)
