"""The HTTP session of the Supabase client: only the two methods that postgrest-py calls."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import httpx
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from app.client.call import Call, Headers, Response, Transport
from app.client.loop_throttle import LoopThrottle

FUNCTIONS: Final = "/rpc/"
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

    def __init__(self, base_url: httpx.URL, headers: httpx.Headers, transport: Transport) -> None:
        self._base_url = str(base_url).rstrip("/")
        self._headers = CIMultiDictProxy(CIMultiDict(headers.multi_items()))
        self._json_headers = _with(self._headers, {"Content-Type": "application/json"})
        self._transport = transport
        self._urls: dict[str, URL] = {}
        self._throttle = LoopThrottle()
        self._closed = False

    async def request(
        self, method: str, path: str, *, params: httpx.QueryParams, headers: httpx.Headers, json: Any
    ) -> Response:
        """Send one request and read its response; the arguments are those that postgrest-py passes.

        Raises `httpx.TransportError`, `httpx.HTTPStatusError` for an error that is not PostgREST's, and
        `UnreadableBody` for a success without the result that was requested.
        """
        if self._closed:
            raise RuntimeError("The Supabase client is closed: use it inside `async with open_supabase(...)`.")
        await self._throttle.enter()
        response = await self._transport.send(self._prepare(method, path, params, headers, json))
        await self._throttle.enter()
        if not response.is_success:
            refuse_unreadable_errors(response)
        elif path.startswith(FUNCTIONS):
            return result_of_function(response)
        elif method != "HEAD":
            require_rows(response)
        return response

    async def aclose(self) -> None:
        """Close every connection; later requests raise `RuntimeError`."""
        self._closed = True
        await self._transport.aclose()

    def _prepare(self, method: str, path: str, params: httpx.QueryParams, own: httpx.Headers, document: object) -> Call:
        """Build the call; calls without headers of their own share those of the session."""
        headers = self._headers
        content = b""
        if document is not None:
            headers = self._json_headers
            content = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        if own:
            headers = _with(headers, own)
        url = self._url_of(path)
        return Call(method, url.with_query(params.multi_items()) if params else url, headers, content)

    def _url_of(self, path: str) -> URL:
        """Return the URL of a table or function, parsed at its first use."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._base_url + path, encoded=True)
        return url


def _with(headers: Headers, more: Mapping[str, str]) -> Headers:
    """Return `headers` with `more`, which replace those of the same name."""
    merged = CIMultiDict(headers)
    merged.update(more)
    return CIMultiDictProxy(merged)


def result_of_function(response: Response) -> Response:
    """Return the response to a function call with a JSON body, which is `RETURNED_VOID` for 204.

    postgrest-py reads an empty body as an empty list, and a body that is not JSON as a string. Raises `UnreadableBody`,
    or `ValueError` for a single value that is not JSON.
    """
    if response.status_code == HTTPStatus.NO_CONTENT:
        return Response(HTTPStatus.OK, response.headers, json.dumps(RETURNED_VOID).encode(), response.request)
    end = ENDS.get(_first_byte(response))
    if end is None:
        json.loads(response.content)
    elif not response.content.rstrip().endswith(end):
        raise UnreadableBody(f"HTTP {response.status_code} with a truncated body: {response.content[-200:]!r}")
    return response


def require_rows(response: Response) -> None:
    """Raise `UnreadableBody` for a successful response to a table query whose body is not a JSON array.

    postgrest-py reads an empty body as no rows, and fails with `AttributeError` for a body such as `null`.
    """
    if _first_byte(response) != b"[":
        raise UnreadableBody(
            f"HTTP {response.status_code} with a body that is not a list of rows: {response.content[:200]!r}"
        )


def _first_byte(response: Response) -> bytes:
    first = response.content.lstrip()[:1]
    if not first:
        raise UnreadableBody(f"HTTP {response.status_code} with an empty body")
    return first


def refuse_unreadable_errors(response: Response) -> None:
    """Raise `httpx.HTTPStatusError` for an error response that is not PostgREST's, such as a proxy's HTML page.

    postgrest-py loses the status of such a response, or fails with `AttributeError` if it is JSON but not an object.
    """
    try:
        body = response.json()
    except ValueError:
        body = None
    if not (isinstance(body, dict) and isinstance(body.get("code"), str)):
        refused = response.to_httpx()
        raise httpx.HTTPStatusError(
            f"HTTP {response.status_code} with a body that is not PostgREST's: {response.text[:200]!r}",
            request=refused.request,
            response=refused,
        )
