"""A caller of the API who repeats each request until a response counts, as the documentation tells callers to do."""

import asyncio
import random
from typing import Any

import httpx

from tests.soak.ledger import Ledger

PAUSE = 0.3
"""Seconds between two attempts."""
_TEMPORARY = frozenset({429, 503})
_NOTICED = 500


class Caller:
    """Sends requests to one of the APIs at random."""

    def __init__(self, http: httpx.AsyncClient, addresses: list[str], ledger: Ledger, chance: random.Random) -> None:
        self._http = http
        self._addresses = addresses
        self._ledger = ledger
        self._chance = chance

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request until a response is neither lost nor a request to come again."""
        while True:
            answer = await self.once(method, path, **options)
            if answer is not None and answer.status_code not in _TEMPORARY:
                return answer
            await asyncio.sleep(PAUSE)

    async def once(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """Send a request once; None if the response was lost."""
        url = self._chance.choice(self._addresses) + path
        try:
            answer = await self._http.request(method, url, **options)
        except httpx.TransportError:
            return None
        self._ledger.statuses[answer.status_code] += 1
        if answer.status_code >= _NOTICED and answer.status_code not in _TEMPORARY:
            self._ledger.surprises.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer
