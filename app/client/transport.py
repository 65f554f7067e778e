"""The HTTP transport of the Supabase client: aiohttp's connection pool, precise exceptions, retries, one deadline.

`CallTransport` (a `RetryTransport` of httpx-retries) repeats the attempts of a call within one deadline. Below it,
`ErrorMappingTransport` makes one attempt and reads the whole response, so that a truncated body is retried like a lost
connection.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO

import aiohttp
import httpx
from httpx_retries import Retry, RetryTransport
from yarl import URL

from app.certificates import trusted_certificates
from app.client.session import REQUEST_URL
from app.config import SupabaseSettings
from app.tracing.current import Attribute
from app.tracing.http_client import server_of, traced

RETRIED_METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE")
"""All methods: every write of the service is idempotent."""

CLOUDFLARE_ORIGIN_ERRORS = (520, 521, 522, 523, 524)
"""Statuses of Supabase's proxy while the project is unavailable or restarting."""

RETRIED_STATUSES = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
    *CLOUDFLARE_ORIGIN_ERRORS,
)
CONNECT_TIMEOUT, POOL_TIMEOUT = 3.0, 5.0
"""Seconds to connect, which takes less than one even from another continent; and to get a connection from the pool,
connecting included: with all of them in use for longer, a call fails rather than queues."""
FIRST_BACKOFF, MAX_BACKOFF = 0.1, 2.0
"""Seconds before the first retry, doubled for each further one, and their maximum: all together stay within a call."""
LARGE_BODY = 2**20
KEEPALIVE = 20.0
"""Seconds until an idle connection is closed: fewer than PostgREST's and Supabase's limits."""

_ERROR_MAP: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    # Not sent: there was no connection. (A timeout in the pool's queue is a ConnectionTimeoutError too.)
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    # Possibly sent and applied.
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientOSError, httpx.ReadError),
    (aiohttp.ClientConnectionError, httpx.ReadError),
)
"""The first match wins; the order follows aiohttp's class tree from the leaves up."""


@dataclass(frozen=True)
class CallCounters:
    """Called with the outcome (an HTTP status or an exception's name) of every `call` and each of its attempts."""

    call: Callable[[str], None]
    attempt: Callable[[str], None]


def build_transport(
    settings: SupabaseSettings,
    inner: httpx.AsyncBaseTransport | None = None,
    counters: CallCounters | None = None,
) -> httpx.AsyncBaseTransport:
    """Build the client's transport; `inner` (for tests) replaces the network."""
    retry = Retry(
        total=settings.supabase_retries,
        allowed_methods=RETRIED_METHODS,
        status_forcelist=RETRIED_STATUSES,
        backoff_factor=FIRST_BACKOFF,
        backoff_jitter=0.5,
        max_backoff_wait=MAX_BACKOFF,
    )
    network = UrlTransport(inner) if inner is not None else ErrorMappingTransport(settings.supabase_max_connections)
    once = traced(network, _describe)
    seconds = settings.supabase_call_timeout
    if counters is None:
        return CallTransport(once, retry, seconds)
    return CountingTransport(CallTransport(CountingTransport(once, counters.attempt), retry, seconds), counters.call)


def build_timeout(settings: SupabaseSettings) -> httpx.Timeout:
    """Timeouts of a single attempt, in seconds."""
    return httpx.Timeout(settings.supabase_read_timeout, connect=CONNECT_TIMEOUT, pool=POOL_TIMEOUT)


def _describe(request: httpx.Request) -> dict[str, Attribute]:
    """Return the attributes of a request's span: the table or function, never the query, which has values."""
    address, _, _ = request.extensions[REQUEST_URL].partition("?")
    _, _, template = address.partition("/rest/v1/")
    return server_of(request.url) | {"url.full": address, "url.template": template}


class _Wrapper(httpx.AsyncBaseTransport):
    """A transport around another one."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


class CountingTransport(_Wrapper):
    """Reports the outcome of each request."""

    def __init__(self, inner: httpx.AsyncBaseTransport, count: Callable[[str], None]) -> None:
        super().__init__(inner)
        self._count = count

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Forward `request`; raises the inner transport's errors."""
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            self._count(type(error).__name__)
            raise
        self._count(str(response.status_code))
        return response


class UrlTransport(_Wrapper):
    """Sets each request's `url` to its full URL, which other transports, such as httpx's own, use."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Forward `request`; raises the inner transport's errors."""
        request.url = httpx.URL(request.extensions[REQUEST_URL])
        return await self._inner.handle_async_request(request)


class CallTransport(RetryTransport):
    """Makes a whole call: its attempts, the waits between them, and reading the responses, within `seconds`."""

    def __init__(self, once: httpx.AsyncBaseTransport, retry: Retry, seconds: float) -> None:
        super().__init__(transport=once, retry=retry)
        self._seconds = seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; raises `httpx.ReadTimeout` after the deadline: the last attempt may have been applied."""
        deadline = asyncio.timeout(self._seconds)
        try:
            async with deadline:
                return await super().handle_async_request(request)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise httpx.ReadTimeout(f"no response within {self._seconds:g} s, retries included") from error


class ErrorMappingTransport(httpx.AsyncBaseTransport):
    """Sends a request once over aiohttp's pool and reads the whole response.

    Its exceptions distinguish requests that were not sent (refused connection, failed name resolution, full pool) from
    those that may have been applied. After a crash of the database PostgREST responds to one request per connection
    with HTTP 400 and an empty code (https://github.com/PostgREST/postgrest/issues/4681): that counts as a disconnect.
    """

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; raises the matching `httpx.TransportError`."""
        if self._session is None:
            self._session = self._open_session()
        limits = request.extensions["timeout"]
        timeout = aiohttp.ClientTimeout(
            sock_connect=limits["connect"], sock_read=limits["read"], connect=limits["pool"]
        )
        try:
            async with self._session.request(
                request.method,
                URL(request.extensions[REQUEST_URL], encoded=True),
                headers=request.headers.multi_items(),
                data=_request_body(request.content),
                allow_redirects=False,
                timeout=timeout,
            ) as received:
                body = await received.read()
        except aiohttp.ClientError as error:
            raise _mapped_error(error) from error
        response = httpx.Response(received.status, headers=received.raw_headers, content=body, request=request)
        # The decoded body, because gateways in front of PostgREST compress larger bodies.
        if received.status == HTTPStatus.BAD_REQUEST and _has_empty_code(response.content):
            raise httpx.RemoteProtocolError("HTTP 400 with an empty code: PostgREST lost its database connection")
        return response

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._max_connections, keepalive_timeout=KEEPALIVE, ssl=trusted_certificates()
        )
        # No cookies: a load balancer's cookie must not tie all calls to one of its machines.
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)


def _request_body(content: bytes) -> bytes | BytesIO | None:
    """Return the body for aiohttp: a large one as a stream, because in one piece it blocks the event loop."""
    return BytesIO(content) if len(content) > LARGE_BODY else content or None


def _has_empty_code(body: bytes) -> bool:
    """Whether the body is a PostgREST error with an empty code."""
    try:
        error = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(error, dict) and error.get("code") == ""


def _mapped_error(error: aiohttp.ClientError) -> httpx.TransportError:
    for source, meaning in _ERROR_MAP:
        if isinstance(error, source):
            return meaning(str(error) or type(error).__name__)
    return httpx.RemoteProtocolError(str(error))
