"""The HTTP session under the Supabase client: an `httpx.AsyncClient` that does what postgrest-py needs and no more."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import httpx

from app.client.turnstile import Turnstile


class PostgrestRequest(httpx.Request):
    """A request whose address is parsed only if somebody looks at it: the parsing is a seventh of a call's CPU time.

    That is why it sets the public attributes itself, without `super().__init__()`.
    """

    def __init__(
        self, method: str, address: str, headers: httpx.Headers, content: bytes, timeout: httpx.Timeout
    ) -> None:
        self.method = method.upper()
        self.address = address
        self.headers = headers
        self.extensions = {"timeout": timeout.as_dict()}
        self.stream = httpx.ByteStream(content)
        self.read()

    @cached_property
    def url(self) -> httpx.URL:  # type: ignore[override]
        """The address as httpx knows it."""
        return httpx.URL(self.address)


class PostgrestSession(httpx.AsyncClient):
    """Sends requests to one PostgREST through one transport, without what `httpx.AsyncClient` does besides.

    postgrest-py calls nothing but `request` and `aclose`. httpx would read each address three times, keep the cookies
    of load balancers (which tie all calls of a process to one of their machines), follow a sign-in flow and redirects:
    half of a call's CPU time, see docs/PERFORMANCE.md.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._base = str(self.base_url)
        self._turnstile = Turnstile()

    async def request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Response:
        """Send one request and read its answer; `options` are postgrest-py's: `params`, `headers`, `json`.

        Raises `httpx.TransportError`, and `httpx.HTTPStatusError` for an error that is not PostgREST's.
        """
        if self.is_closed:
            raise RuntimeError("The Supabase client is closed: use it inside `async with open_supabase(...)`.")
        await self._turnstile.enter()
        request = self._prepare(method, str(url), options)
        response = await self._transport.handle_async_request(request)
        await self._turnstile.enter()
        response.request = request
        await response.aread()
        if response.is_success:
            # JSON is UTF-8 (RFC 8259, 8.1): looking the charset up costs more than reading the answer.
            response.encoding = "utf-8"
        else:
            refuse_unreadable_errors(response)
        return response

    def _prepare(self, method: str, path: str, options: Mapping[str, Any]) -> PostgrestRequest:
        sent = httpx.Headers(self.headers)
        if headers := options.get("headers"):
            sent.update(headers)
        content = b""
        if (document := options.get("json")) is not None:
            sent["Content-Type"] = "application/json"
            content = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        query = str(options.get("params") or "")
        address = f"{self._base}{path.lstrip('/')}{'?' * bool(query)}{query}"
        return PostgrestRequest(method, address, sent, content, self.timeout)


def refuse_unreadable_errors(response: httpx.Response) -> None:
    """Raise `httpx.HTTPStatusError` for an answer without success that is not PostgREST's, such as a proxy's HTML page.

    postgrest-py loses the status of such an answer, or fails with `AttributeError` when it is JSON but no object.
    """
    try:
        body = response.json()
    except ValueError:
        body = None
    if not (isinstance(body, dict) and isinstance(body.get("code"), str)):
        raise httpx.HTTPStatusError(
            f"HTTP {response.status_code} with a body that is not PostgREST's: {response.text[:200]!r}",
            request=response.request,
            response=response,
        )
