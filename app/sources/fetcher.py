"""Downloads a document, or raises SourceError whatever the server does. Size, time and redirects are limited."""

import asyncio
import re
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import httpx

from app.errors import SourceBusy, SourceError
from app.external.client import AddressNotPublic, ExternalClient
from app.external.retry_after import retry_after
from app.sources.redirects import Target

BUSY_STATUSES: Final = frozenset({429, 503})
TRANSIENT_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_HEADER: Final = 200
"""Characters of a header that are parsed: the standard library parses longer ones in quadratic time."""
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([A-Za-z0-9][\w.:-]{0,39})", re.IGNORECASE | re.ASCII)
_BINARY_TYPES: Final = ("image/", "audio/", "video/", "font/", "application/pdf", "application/zip")
_ERROR_EXCERPT = 4_096


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """Limits of size and time for one response, and the User-Agent of requests."""

    user_agent: str
    max_bytes: int = 5_000_000
    """Of the decompressed body."""
    total_seconds: float = 30.0
    """For the whole exchange, including redirects."""
    max_redirects: int = 3
    private_redirects: bool = False
    """Whether a redirect may lead to another host in a private network."""


BUSY_PAUSE: Final = 20.0
"""Seconds without requests to a host that is overloaded and does not say for how long."""


class FetchFailed(SourceError):
    """A GET failed. A `transient` one may succeed later, after `retry_after` seconds if known.

    `busy`: the server is overloaded (429 or 503). `http_status`, `headers` and
    `body` (its beginning) are those of an HTTP error.
    """

    def __init__(
        self,
        message: str,
        *,
        transient: bool = False,
        busy: bool = False,
        retry_after: float | None = None,
        body: bytes = b"",
        http_status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.headers = headers or {}
        self.transient = transient
        self.busy = busy
        self.retry_after = retry_after
        self.body = body

    @property
    def pause(self) -> float:
        """Seconds until the next request to the host: what the server says, or `BUSY_PAUSE` if it is overloaded."""
        return self.retry_after if self.retry_after is not None else BUSY_PAUSE if self.busy else 0.0

    @property
    def or_busy(self) -> "FetchFailed | SourceBusy":
        """The failure; `SourceBusy` if the server is overloaded, so that the attempt does not count."""
        return SourceBusy(str(self), retry_after=self.pause) if self.busy else self


class ResponseTooLarge(FetchFailed):
    """The response has more bytes than the caller accepts."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete response: `url` after redirects, `charset` from its Content-Type."""

    url: str
    charset: str | None
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpFetcher:
    """Downloads documents through the process's client for external servers."""

    def __init__(self, client: ExternalClient, settings: FetchSettings) -> None:
        self._client = client
        self._settings = settings

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        seconds: float | None = None,
    ) -> Fetched:
        """Download a document. `headers` go only to the host of `url`, never to one that it redirects to.

        `max_bytes` and `seconds` replace the limits in the settings.
        Raises SourceError unless it gets a complete response of status 200: FetchFailed if the server is the cause,
        ResponseTooLarge if it sends more than `max_bytes`.
        """
        limit = seconds or self._settings.total_seconds
        try:
            target = Target(httpx.URL(url, params=params) if params else httpx.URL(url))
            async with asyncio.timeout(limit):
                return await self._follow(target, headers or {}, max_bytes or self._settings.max_bytes)
        except TimeoutError as error:
            message = f"{_host(url)} did not complete its response within {limit:g} s"
            raise FetchFailed(message, transient=True) from error
        except httpx.TimeoutException as error:
            raise FetchFailed(
                f"{_host(url)} did not respond in time ({type(error).__name__})", transient=True
            ) from error
        except (httpx.InvalidURL, ValueError) as error:
            # ValueError: a host name that a codec cannot encode.
            raise FetchFailed(f"{_host(url)} is not a valid URL, or redirects to an invalid one: {error}") from error
        except AddressNotPublic as error:
            raise FetchFailed(
                f"{_host(url)} redirected to {error.host}, which is not a public address; "
                "if this is correct, set that URL in the settings"
            ) from error
        except httpx.HTTPError as error:
            raise FetchFailed(
                f"{_host(url)} could not be read: {str(error) or type(error).__name__}", transient=True
            ) from error

    async def _follow(self, target: Target, headers: Mapping[str, str], max_bytes: int) -> Fetched:
        for _ in range(self._settings.max_redirects + 1):
            async with self._sent(target, headers) as response:
                if not response.has_redirect_location:
                    return await _read(response, target.url, max_bytes)
                location = response.headers["location"]
                target, headers = target.redirected(location, private=self._settings.private_redirects), {}
        raise FetchFailed(f"more than {self._settings.max_redirects} redirects, the last one to {target.url.host}")

    @asynccontextmanager
    async def _sent(self, target: Target, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        # Only gzip is accepted: our decoder is bounded, while httpx would inflate one chunk without a limit.
        ours = {"User-Agent": self._settings.user_agent, "Accept-Encoding": "gzip"}
        request = self._client.build_request(
            "GET", target.url, headers={**headers, **ours}, extensions=dict(target.extensions)
        )
        response = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            yield response
        finally:
            await response.aclose()


async def _read(response: httpx.Response, url: httpx.URL, max_bytes: int) -> Fetched:
    if response.status_code != HTTPStatus.OK:
        raise await _http_error(response, url, max_bytes)
    header = response.headers.get("content-type", "")[:_MAX_HEADER]
    content_type = header.partition(";")[0].strip().lower()
    if content_type.startswith(_BINARY_TYPES):
        raise FetchFailed(f"{url.host} responded with {content_type}, which is not a feed")
    body = bytearray()
    async for chunk in _decoded(response, max_bytes):
        body += chunk
    charset = _CHARSET.search(header)
    return Fetched(str(url), charset[1].lower() if charset else None, bytes(body), response.headers)


async def _http_error(response: httpx.Response, url: httpx.URL, max_bytes: int) -> FetchFailed:
    status, body = response.status_code, b""
    async with aclosing(_decoded(response, max_bytes)) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) >= _ERROR_EXCERPT:
                break
    return FetchFailed(
        f"{f'HTTP {status} {httpx.codes.get_reason_phrase(status)}'.rstrip()} from {url.host}",
        transient=status in TRANSIENT_STATUSES,
        busy=status in BUSY_STATUSES,
        retry_after=retry_after(response.headers, datetime.now(UTC)),
        body=body[:_ERROR_EXCERPT],
        http_status=status,
        headers=response.headers,
    )


async def _decoded(response: httpx.Response, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yield the decompressed body. Raises FetchFailed as soon as it exceeds `max_bytes`."""
    encoding = response.headers.get("content-encoding", "identity")[:_MAX_HEADER].strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise FetchFailed(f"{response.url.host} used the encoding {encoding!r}, which was not requested")
    inflate = None if encoding == "identity" else zlib.decompressobj(16 + zlib.MAX_WBITS)
    bytes_left = compressed_left = max_bytes
    async for raw in response.aiter_raw():
        # One read may yield thousands of one-byte chunks without returning to the event loop.
        await asyncio.sleep(0)
        compressed_left -= len(raw)
        try:
            chunk = inflate.decompress(raw, bytes_left + 1) if inflate else raw
        except zlib.error as error:
            raise FetchFailed(f"{response.url.host} sent broken gzip: {error}") from error
        bytes_left -= len(chunk)
        if bytes_left < 0 or compressed_left < 0:
            raise ResponseTooLarge(f"{response.url.host} sent more than {max_bytes} bytes")
        yield chunk
        if inflate and inflate.eof:
            return  # zlib would buffer trailing data without a limit.
    if inflate and not inflate.eof:
        raise FetchFailed(f"{response.url.host} sent an incomplete response", transient=True)


def _host(url: str) -> str:
    try:
        return httpx.URL(url).host or url
    except httpx.InvalidURL:
        return repr(url[:100])
