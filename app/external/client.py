"""The process's one HTTP client for external services: sources, callbacks, the model.

httpx's own transport pools connections by the host of the request's URL. If the URL contained the checked IP address,
two names on that address would share a connection whose certificate was verified only for the first. Here the pool and
the certificate check use the name; only the TCP connection goes to the checked address.
"""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, NewType

import httpcore
import httpx

from app.certificates import trusted_certificates
from app.errors import BroadsheetError
from app.external.addresses import Resolve, is_public, resolve
from app.tracing.http_client import traced

PUBLIC_ONLY: Final = {"public_only": True}
"""The extension of a request with an untrusted URL: it connects only to public addresses."""

ExternalClient = NewType("ExternalClient", httpx.AsyncClient)
"""A client that honours `PUBLIC_ONLY`; an ordinary client would ignore it."""

_KEPT_OPEN, _KEEPALIVE, _MAX_CONNECTIONS = 20, 5.0, 100
_ADDRESSES_TRIED: Final = 4
MAX_RESPONSE: Final = 32_000_000
"""Bytes of a response at which the transport ends it, also where nobody counts; callers have smaller limits."""
_MAX_HOST_SHOWN: Final = 80
_HTTPCORE_ERRORS: Final = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


class AddressNotPublic(BroadsheetError):
    """A request restricted to public addresses had another target; it was not sent."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host[:_MAX_HOST_SHOWN]} is not a public address")
        self.host = host[:_MAX_HOST_SHOWN]


@asynccontextmanager
async def open_external(
    *,
    resolve: Resolve = resolve,
    network: httpcore.AsyncNetworkBackend | None = None,
    certificates: ssl.SSLContext | None = None,
) -> AsyncIterator[ExternalClient]:
    """Open the client, yield it, close it. It follows no redirects, keeps no cookies and uses no proxies.

    `network` (for tests) replaces the real network; `certificates` are the trusted ones, by default httpx's.
    """
    untraced = ExternalTransport(resolve, network or httpcore.AnyIOBackend(), certificates or trusted_certificates())
    transport = traced(untraced)
    # A caller that accepts compressed responses says so, and inflates them in bounded pieces.
    plain = {"Accept-Encoding": "identity"}
    timeout = httpx.Timeout(20.0, connect=5.0)
    async with httpx.AsyncClient(transport=transport, headers=plain, timeout=timeout) as client:
        yield ExternalClient(client)


class ExternalTransport(httpx.AsyncBaseTransport):
    """Has two pools, so that trusted URLs (from settings) and untrusted URLs never share a connection."""

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
            received = await pool.handle_async_request(sent)
        # No cookies: httpx would send one receiver's cookies to others on the same host.
        headers = [(name, value) for name, value in received.headers if name.lower() != b"set-cookie"]
        answer = httpx.Response(
            received.status, headers=headers, stream=_Body(received.stream), extensions=received.extensions
        )
        coding = answer.headers.get("content-encoding", "identity")
        if request.headers.get("accept-encoding") == "identity" != coding:
            await answer.aclose()
            raise httpx.RemoteProtocolError("the response is compressed, although the request does not accept that")
        return answer

    async def aclose(self) -> None:
        """Close every connection."""
        await self._trusted.aclose()
        await self._public.aclose()


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Connects only to hosts whose addresses are all public, using exactly the checked address.

    This prevents DNS rebinding.
    """

    def __init__(self, inner: httpcore.AsyncNetworkBackend, resolve: Resolve) -> None:
        self._inner = inner
        self._resolve = resolve

    async def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        """Connect to the first reachable address. Raises `AddressNotPublic`, `httpcore.ConnectError`."""
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
            raise httpcore.ConnectError(f"{host[:_MAX_HOST_SHOWN]} cannot be resolved: {error}") from error
        if not found:
            raise httpcore.ConnectError(f"{host} has no address")
        if not all(map(is_public, found)):
            raise AddressNotPublic(host)
        return found[:_ADDRESSES_TRIED]


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_RESPONSE
        with _httpx_errors():
            async for piece in self._stream:
                left -= len(piece)
                if left < 0:
                    raise httpx.ReadError(f"the response has more than {MAX_RESPONSE:,} bytes")
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
    """Convert httpcore's errors to httpx's errors of the same name."""
    try:
        yield
    except _HTTPCORE_ERRORS as error:
        meaning: type[httpx.TransportError] = getattr(httpx, type(error).__name__)
        raise meaning(str(error)) from error
