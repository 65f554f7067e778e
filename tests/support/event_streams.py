"""Reads server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx


class Events:
    """Reads the events of a stream."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> dict[str, Any]:
        """The next event or comment."""
        found: dict[str, Any] = {}
        async with asyncio.timeout(20):
            async for line in self._lines:
                if not line and found:
                    return found | ({"data": json.loads(found["data"])} if "data" in found else {})
                name, _, value = line.partition(": ")
                if line and name != "retry":
                    found[name or "comment"] = value
        return {"over": True}


@asynccontextmanager
async def following(http: httpx.AsyncClient, location: str, **headers: str) -> AsyncIterator[Events]:
    async with http.stream("GET", f"{location}/events", headers=headers) as answer:
        assert answer.status_code == 200
        yield Events(answer)
