"""The HTTP session of the Supabase client: only the two methods that postgrest-py calls."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import httpx

from app.client.loop_throttle import LoopThrottle

REQUEST_URL: Final = "request_url"
"""The request extension with the URL as text: parsing it would take a seventh of a call's CPU time."""

FUNCTIONS: Final = "rpc/"
"""Prefix of the paths of functions; every other path is a table or view."""

ENDS: Final = {b"[": b"]", b"{": b"}"}
"""First and last byte of a JSON array and object."""

RETURNED_VOID: Final = {"returned": "void"}
"""The result for a function that returns void, which PostgREST responds to with 204."""


class UnreadableBody(ValueError):
    """A successful response with a body that PostgREST does not send for the request."""


class PostgrestSession:
    """Sends requests to one PostgREST through one transport, without the other features of `httpx.AsyncClient`.

    postgrest-py calls only `request` and `aclose`. httpx would parse each URL three times, keep the cookies of load
    balancers (which tie all calls of a process to one of their machines), and handle authentication and redirects: half
    of a call's CPU time, see docs/PERFORMANCE.md. The headers are immutable, because all tasks of the process share
    them.
    """

    def __init__(
        self, base_url: httpx.URL, headers: httpx.Headers, transport: httpx.AsyncBaseTransport, timeout: httpx.Timeout
    ) -> None:
        self._base_url = base_url
        self._base = str(base_url)
        self._headers = httpx.Headers(headers)
        self._transport = transport
        self._timeout = timeout.as_dict()
        self._throttle = LoopThrottle()
        self._closed = False

    async def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send one request and read its response; `options` are postgrest-py's: `params`, `headers`, `json`.

        Raises `httpx.TransportError`, `httpx.HTTPStatusError` for an error that is not PostgREST's, and
        `UnreadableBody` for a success without the result that was requested.
        """
        if self._closed:
            raise RuntimeError("The Supabase client is closed: use it inside `async with open_supabase(...)`.")
        await self._throttle.enter()
        request = self._prepare(method, url, options)
        response = await self._transport.handle_async_request(request)
        await self._throttle.enter()
        response.request = request
        await response.aread()
        if not response.is_success:
            refuse_unreadable_errors(response)
            return response
        if url.lstrip("/").startswith(FUNCTIONS):
            response = result_of_function(response)
        elif method != "HEAD":
            require_rows(response)
        # JSON is UTF-8 (RFC 8259, 8.1): detecting the charset costs more than reading the response.
        response.encoding = "utf-8"
        return response

    async def aclose(self) -> None:
        """Close every connection; later requests raise `RuntimeError`."""
        self._closed = True
        await self._transport.aclose()

    def _prepare(self, method: str, path: str, options: Mapping[str, Any]) -> httpx.Request:
        """Build the request for the transport: `url` is the project's, `REQUEST_URL` has the full URL."""
        headers = httpx.Headers(self._headers)
        if own := options.get("headers"):
            headers.update(own)
        content = b""
        if (document := options.get("json")) is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        query = str(options.get("params") or "")
        address = f"{self._base}{path.lstrip('/')}{'?' * bool(query)}{query}"
        extensions = {"timeout": self._timeout, REQUEST_URL: address}
        request = httpx.Request(
            method, self._base_url, headers=headers, stream=httpx.ByteStream(content), extensions=extensions
        )
        request.read()
        return request


def result_of_function(response: httpx.Response) -> httpx.Response:
    """Return the response to a function call with a JSON body, which is `RETURNED_VOID` for 204.

    postgrest-py reads an empty body as an empty list, and a body that is not JSON as a string. Raises `UnreadableBody`,
    or `ValueError` for a single value that is not JSON.
    """
    if response.status_code == HTTPStatus.NO_CONTENT:
        return httpx.Response(HTTPStatus.OK, json=RETURNED_VOID, request=response.request)
    end = ENDS.get(_first_byte(response))
    if end is None:
        json.loads(response.content)
    elif not response.content.rstrip().endswith(end):
        raise UnreadableBody(f"HTTP {response.status_code} with a truncated body: {response.content[-200:]!r}")
    return response


def require_rows(response: httpx.Response) -> None:
    """Raise `UnreadableBody` for a successful response to a table query whose body is not a JSON array.

    postgrest-py reads an empty body as no rows, and fails with `AttributeError` for a body such as `null`.
    """
    if _first_byte(response) != b"[":
        raise UnreadableBody(
            f"HTTP {response.status_code} with a body that is not a list of rows: {response.content[:200]!r}"
        )


def _first_byte(response: httpx.Response) -> bytes:
    first = response.content.lstrip()[:1]
    if not first:
        raise UnreadableBody(f"HTTP {response.status_code} with an empty body")
    return first


def refuse_unreadable_errors(response: httpx.Response) -> None:
    """Raise `httpx.HTTPStatusError` for an error response that is not PostgREST's, such as a proxy's HTML page.

    postgrest-py loses the status of such a response, or fails with `AttributeError` if it is JSON but not an object.
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
