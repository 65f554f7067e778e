"""The HTTP transport of the Supabase client: aiohttp's connection pool, precise exceptions, retries, one deadline.

`CallTransport` repeats the attempts of a call within one deadline, with the waits of httpx-retries. Below it,
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
from httpx_retries import Retry
from multidict import CIMultiDict, CIMultiDictProxy

from app.certificates import trusted_certificates
from app.client.call import Call, Response, Transport, TransportLayer
from app.client.traced_calls import traced
from app.config import SupabaseSettings

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
    network: Transport | None = None,
    counters: CallCounters | None = None,
) -> Transport:
    """Build the client's transport; `network` (for tests) makes its attempts."""
    retry = Retry(
        total=settings.supabase_retries,
        status_forcelist=RETRIED_STATUSES,
        backoff_factor=FIRST_BACKOFF,
        backoff_jitter=0.5,
        max_backoff_wait=MAX_BACKOFF,
    )
    if network is None:
        network = ErrorMappingTransport(settings.supabase_max_connections, settings.supabase_read_timeout)
    once = traced(network)
    seconds = settings.supabase_call_timeout
    if counters is None:
        return CallTransport(once, retry, seconds)
    return CountingTransport(CallTransport(CountingTransport(once, counters.attempt), retry, seconds), counters.call)


class CountingTransport(TransportLayer):
    """Reports the outcome of each call."""

    def __init__(self, inner: Transport, count: Callable[[str], None]) -> None:
        super().__init__(inner)
        self._count = count

    async def send(self, call: Call) -> Response:
        """Forward `call`; raises the inner transport's errors."""
        try:
            response = await self._inner.send(call)
        except BaseException as error:
            self._count(type(error).__name__)
            raise
        self._count(str(response.status_code))
        return response


class CallTransport(TransportLayer):
    """Makes a whole call: its attempts, the waits between them, and reading the responses, within `seconds`.

    It repeats every method, because every write of the service is idempotent.
    """

    def __init__(self, once: Transport, retry: Retry, seconds: float) -> None:
        super().__init__(once)
        self._retry = retry
        self._seconds = seconds

    async def send(self, call: Call) -> Response:
        """Send `call`; raises `httpx.ReadTimeout` after the deadline: the last attempt may have been applied."""
        deadline = asyncio.timeout(self._seconds)
        try:
            async with deadline:
                return await self._send_repeatedly(call)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise httpx.ReadTimeout(f"no response within {self._seconds:g} s, retries included") from error

    async def _send_repeatedly(self, call: Call) -> Response:
        retry = self._retry
        while True:
            try:
                response = await self._inner.send(call)
            except httpx.HTTPError as error:
                if retry.is_exhausted() or not retry.is_retryable_exception(error):
                    raise
                failure: httpx.Response | httpx.HTTPError = error
            else:
                if not retry.is_retryable_status_code(response.status_code) or retry.is_exhausted():
                    return response
                failure = response.to_httpx()
            retry = retry.increment()
            call.resends += 1
            await retry.asleep(failure)


class ErrorMappingTransport:
    """Sends a call once over aiohttp's pool and reads the whole response.

    Its exceptions distinguish requests that were not sent (refused connection, failed name resolution, full pool) from
    those that may have been applied. After a crash of the database PostgREST responds to one request per connection
    with HTTP 400 and an empty code (https://github.com/PostgREST/postgrest/issues/4681): that counts as a disconnect.
    """

    def __init__(self, max_connections: int, read_timeout: float) -> None:
        self._max_connections = max_connections
        self._timeout = aiohttp.ClientTimeout(
            sock_connect=CONNECT_TIMEOUT, sock_read=read_timeout, connect=POOL_TIMEOUT
        )
        self._session: aiohttp.ClientSession | None = None

    async def send(self, call: Call) -> Response:
        """Send `call`; raises the matching `httpx.TransportError`, or `httpx.DecodingError` for an unreadable body."""
        if self._session is None:
            self._session = self._open_session()
        try:
            received = await self._session.request(
                call.method,
                call.url,
                headers=call.headers,
                data=_request_body(call.content),
                allow_redirects=False,
            )
            # Reading to the end returns the connection to the pool; a failure or a cancellation closes it.
            body = await received.read()
        except aiohttp.ClientError as error:
            raise _mapped_error(error) from error
        response = Response(received.status, received.headers, body, call)
        if "Content-Encoding" in received.headers:
            response = _decompressed(response)
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
        return aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            # No cookies: a load balancer's cookie must not tie all calls to one of its machines.
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )


def _request_body(content: bytes) -> bytes | BytesIO | None:
    """Return the body for aiohttp: a large one as a stream, because in one piece it blocks the event loop."""
    return BytesIO(content) if len(content) > LARGE_BODY else content or None


def _decompressed(response: Response) -> Response:
    """Let httpx decode a body: gateways in front of PostgREST compress larger ones. Raises `httpx.DecodingError`."""
    headers = CIMultiDict(response.headers)
    decoded = httpx.Response(response.status_code, headers=list(headers.items()), content=response.content)
    del headers["Content-Encoding"]
    return Response(response.status_code, CIMultiDictProxy(headers), decoded.content, response.request)


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
