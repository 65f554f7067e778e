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
    name: str,
    random: Random,
    *works: Callable[[], Awaitable[Any]],
    interval: float,
    first_within: float | None = None,
    expected: tuple[type[Exception], ...] = (SupabaseError,),
) -> NoReturn:
    """Call all `works` every `interval` seconds until cancelled. Log `expected` errors: the next round tries again.

    The first wait is a random part of `first_within` (default: of the interval), so that workers alternate.
    """
    await asyncio.sleep((interval if first_within is None else first_within) * random.random())
    while True:
        for work in works:
            try:
                await work()
            except expected as error:
                log.warning(f"{name} postponed", error=plain(str(error), _MAX_REASON))
        await asyncio.sleep(interval)
