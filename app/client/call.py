"""A request to PostgREST and its response, with what postgrest-py reads of them.

httpx's objects have the same attributes, but creating them takes a third of a call's CPU time, see docs/PERFORMANCE.md.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, Protocol

import httpx
from multidict import CIMultiDictProxy
from yarl import URL

Headers = CIMultiDictProxy[str]
"""Immutable, because several calls share them."""

_SUCCESS: Final = range(200, 300)


@dataclass(slots=True)
class Call:
    """A request; `resends` counts how often it was repeated."""

    method: str
    url: URL
    headers: Headers
    content: bytes = b""
    resends: int = 0


@dataclass(slots=True)
class Response:
    """A response that was read completely; its `content` is not compressed."""

    status_code: int
    headers: Headers
    content: bytes
    request: Call

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return self.status_code in _SUCCESS

    @property
    def text(self) -> str:
        """The content as text. JSON is UTF-8 (RFC 8259, 8.1), and only JSON is more than a part of an error message."""
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """Return the parsed content. Raises `ValueError` and `RecursionError`."""
        return json.loads(self.content)

    def to_httpx(self) -> httpx.Response:
        """Return what httpx's exceptions and httpx-retries need: without content, keys, and values of the query."""
        request = httpx.Request(self.request.method, str(self.request.url.with_query(None)))
        return httpx.Response(self.status_code, headers=list(self.headers.items()), request=request)


class Transport(Protocol):
    """Sends calls."""

    async def send(self, call: Call) -> Response:
        """Send a call and read its response; raises `httpx.TransportError`."""

    async def aclose(self) -> None:
        """Close every connection."""


class TransportLayer:
    """A transport around another one."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()
