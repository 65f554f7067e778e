"""A cache with two layers: this process's memory, then a table that all processes share."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from pydantic import BaseModel, TypeAdapter
from supabase import AsyncClient

from app.errors import SupabaseError
from app.persistence.errors import VOID
from app.persistence.json_values import clean
from app.persistence.repository import Repository

log = structlog.get_logger(__name__)


class Entry(BaseModel):
    """A value of the shared cache, and the seconds until it expires."""

    value: Any
    seconds_left: float


ENTRY: Final = TypeAdapter(Entry | None)
"""The result of cache_get(). Null: the key has no entry, or its entry has expired."""


@dataclass(frozen=True, slots=True)
class _MemoryEntry:
    value: Any
    expires_at: float


class HybridCache(Repository):
    """Keeps JSON values by key for `ttl`. Memory holds the `max_entries` most recently used ones.

    A failure of Supabase never reaches the caller: `put` then stores the value in memory only.
    """

    def __init__(self, client: AsyncClient, *, ttl: timedelta = timedelta(hours=6), max_entries: int = 1000) -> None:
        super().__init__(client)
        self._ttl = ttl.total_seconds()
        self._max_entries = max_entries
        self._memory: OrderedDict[str, _MemoryEntry] = OrderedDict()

    async def get(self, key: str) -> Any | None:
        """Return the value of `key`. Returns None if there is none, or if Supabase does not respond."""
        if (in_memory := self._from_memory(key)) is not None:
            return in_memory.value
        try:
            entry = await self._call("cache_get", f"read cache entry {key}", ENTRY, p_key=key)
        except SupabaseError as error:
            log.warning("cache not read", key=key, error=str(error))
            return None
        if entry is None:
            return None
        self._store_in_memory(key, entry.value, entry.seconds_left)
        return entry.value

    async def put(self, key: str, value: Any) -> None:
        """Store `value`: in memory even if Supabase fails."""
        value = clean(value)
        self._store_in_memory(key, value, self._ttl)
        try:
            await self._call(
                "cache_put", f"write cache entry {key}", VOID, p_key=key, p_value=value, p_ttl_seconds=self._ttl
            )
        except SupabaseError as error:
            log.warning("cache not written", key=key, error=str(error))

    def _from_memory(self, key: str) -> _MemoryEntry | None:
        found = self._memory.get(key)
        if found is None or found.expires_at <= asyncio.get_running_loop().time():
            self._memory.pop(key, None)
            return None
        self._memory.move_to_end(key)
        return found

    def _store_in_memory(self, key: str, value: Any, seconds: float) -> None:
        self._memory[key] = _MemoryEntry(value, asyncio.get_running_loop().time() + seconds)
        self._memory.move_to_end(key)
        while len(self._memory) > self._max_entries:
            self._memory.popitem(last=False)
