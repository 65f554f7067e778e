"""The process's one HTTP client for the outside world: sources, callbacks, the model.

httpx's own transport keeps connections by the host of the request. Sent to a checked address instead of a name, two
names on that address would share a connection whose certificate was checked for the first alone. Here the name stays
what connections are kept by, and what the certificate must carry; only the connecting itself goes to a checked address.
"""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, NewType

import httpcore
import httpx

from app.errors import BroadsheetError
from app.external.addresses import Resolve, is_public, resolve

PUBLIC_ONLY: Final = {"public_only": True}
"""The extension of a request whose address strangers chose: it reaches public addresses alone."""

ExternalClient = NewType("ExternalClient", httpx.AsyncClient)
"""A client that obeys `PUBLIC_ONLY`; an ordinary one would pass over it."""

_KEPT_OPEN, _KEEPALIVE, _MAX_CONNECTIONS = 20, 5.0, 100
_ADDRESSES_TRIED: Final = 4
_SHOWN: Final = 80
_HTTPCORE_ERRORS: Final = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


class AddressNotPublic(BroadsheetError):
    """A request to public addresses only would have reached another one: it was not sent."""

    title = "Address not public"

    def __init__(self, host: str) -> None:
        super().__init__(f"{host[:_SHOWN]} is not a public address")
        self.host = host[:_SHOWN]


@asynccontextmanager
async def open_external(
    *,
    resolve: Resolve = resolve,
    network: httpcore.AsyncNetworkBackend | None = None,
    certificates: ssl.SSLContext | None = None,
) -> AsyncIterator[ExternalClient]:
    """Open the client, yield it, close it. It follows no redirects, keeps no cookies, and knows no proxies.

    `network` (for tests) connects in the real network's place; `certificates` are what is trusted, by default httpx's.
    """
    transport = ExternalTransport(
        resolve, network or httpcore.AnyIOBackend(), certificates or httpx.create_ssl_context()
    )
    async with httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(20.0, connect=5.0)) as client:
        yield ExternalClient(client)


class ExternalTransport(httpx.AsyncBaseTransport):
    """Two pools, so that what the settings name and what strangers named never share a connection."""

    def __init__(self, resolve: Resolve, network: httpcore.AsyncNetworkBackend, certificates: ssl.SSLContext) -> None:
        self._trusted = _pool(network, certificates)
        self._public = _pool(PublicNetwork(network, resolve), certificates)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`. Raises `httpx.TransportError`, and `AddressNotPublic`."""
        pool = self._public if request.extensions.get("public_only") else self._trusted
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        sent = httpcore.Request(
            request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions
        )
        with _httpx_errors():
            answer = await pool.handle_async_request(sent)
        # No cookies: a jar would show what one receiver set to another on its address, or to the same one later.
        headers = [(name, value) for name, value in answer.headers if name.lower() != b"set-cookie"]
        return httpx.Response(answer.status, headers=headers, stream=_Body(answer.stream), extensions=answer.extensions)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._trusted.aclose()
        await self._public.aclose()


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Connects to names all of whose addresses are public, at the very address that was looked at.

    A name that resolves differently a moment later (DNS rebinding) gains nothing.
    """

    def __init__(self, inner: httpcore.AsyncNetworkBackend, resolve: Resolve) -> None:
        self._inner = inner
        self._resolve = resolve

    async def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers. Raises `AddressNotPublic`, `httpcore.ConnectError`."""
        *others, last = await self._addresses(host, port)
        for address in others:
            try:
                return await self._inner.connect_tcp(address, port, *args, **options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(last, port, *args, **options)

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = list(await self._resolve(host, port))
        except OSError as error:
            raise httpcore.ConnectError(f"{host[:_SHOWN]} cannot be resolved: {error}") from error
        if not found:
            raise httpcore.ConnectError(f"{host} has no address")
        if not all(map(is_public, found)):
            raise AddressNotPublic(host)
        return found[:_ADDRESSES_TRIED]


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for piece in self._stream:
                yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


def _pool(network: httpcore.AsyncNetworkBackend, certificates: ssl.SSLContext) -> httpcore.AsyncConnectionPool:
    return httpcore.AsyncConnectionPool(
        ssl_context=certificates,
        max_connections=_MAX_CONNECTIONS,
        max_keepalive_connections=_KEPT_OPEN,
        keepalive_expiry=_KEEPALIVE,
        network_backend=network,
    )


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """httpx names its errors as httpcore does."""
    try:
        yield
    except _HTTPCORE_ERRORS as error:
        meaning: type[httpx.TransportError] = getattr(httpx, type(error).__name__)
        raise meaning(str(error)) from error
