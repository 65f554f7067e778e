"""A cache in two layers: this process's memory before a table that all processes share."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from pydantic import BaseModel, TypeAdapter
from supabase import AsyncClient

from app.errors import SupabaseError
from app.persistence.errors import VOID, parsed, supabase_errors
from app.persistence.json_values import clean

log = structlog.get_logger(__name__)


class Entry(BaseModel):
    """A value of the shared cache, and for how many seconds it is valid."""

    value: Any
    seconds_left: float


ENTRY: Final = TypeAdapter(Entry | None)
"""The result of cache_get(); null: the key has no entry, or an expired one."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    value: Any
    until: float


class HybridCache:
    """Holds JSON values by key for a time; memory keeps the `max_entries` that were used last.

    A failing Supabase never fails the caller: what is put is kept in memory.
    """

    def __init__(self, client: AsyncClient, *, ttl: timedelta = timedelta(hours=6), max_entries: int = 1000) -> None:
        self._client = client
        self._ttl = ttl.total_seconds()
        self._max_entries = max_entries
        self._memory: OrderedDict[str, _Remembered] = OrderedDict()

    async def get(self, key: str) -> Any | None:
        """The value of `key`, or None; None, too, if Supabase cannot be asked."""
        if (remembered := self._remembered(key)) is not None:
            return remembered.value
        try:
            with supabase_errors(f"read cache entry {key}"):
                answer = await self._client.rpc("cache_get", {"p_key": key}).execute()
            entry = parsed(ENTRY, answer.data)
        except SupabaseError as error:
            log.warning("cache not read", key=key, error=str(error))
            return None
        if entry is None:
            return None
        self._remember(key, entry.value, entry.seconds_left)
        return entry.value

    async def put(self, key: str, value: Any) -> None:
        """Keep `value`, in memory even if Supabase fails."""
        value = clean(value)
        self._remember(key, value, self._ttl)
        try:
            with supabase_errors(f"write cache entry {key}"):
                parameters = {"p_key": key, "p_value": value, "p_ttl_seconds": self._ttl}
                answer = await self._client.rpc("cache_put", parameters).execute()
            parsed(VOID, answer.data)
        except SupabaseError as error:
            log.warning("cache not written", key=key, error=str(error))

    def _remembered(self, key: str) -> _Remembered | None:
        found = self._memory.get(key)
        if found is None or found.until <= asyncio.get_running_loop().time():
            self._memory.pop(key, None)
            return None
        self._memory.move_to_end(key)
        return found

    def _remember(self, key: str, value: Any, seconds: float) -> None:
        self._memory[key] = _Remembered(value, asyncio.get_running_loop().time() + seconds)
        self._memory.move_to_end(key)
        while len(self._memory) > self._max_entries:
            self._memory.popitem(last=False)
