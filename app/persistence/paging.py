"""Reads on until there is no more: a project's row limit may be lower than any page that is asked for."""

from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import TypeVar

T = TypeVar("T")


async def read_on(read: Callable[[Sequence[T]], Awaitable[list[T]]], wanted: float = inf) -> list[T]:
    """Collect `wanted` rows, or all: `read` is given what was found so far, and answers with some of what follows.

    Only an empty answer is the end. A short one may be what the project's row limit (PostgREST's `db-max-rows`, 1,000
    on Supabase unless it was changed) left of a longer one, without a word.
    """
    found: list[T] = []
    while len(found) < wanted:
        page = await read(found)
        if not page:
            break
        found += page
    return found
