"""A GET that ends in a document or a SourceError whatever the server does: size, time and redirects are capped."""

import asyncio
import re
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import httpx

from app.errors import SourceError
from app.external.client import AddressNotPublic, ExternalClient
from app.external.retry_after import retry_after
from app.sources.redirects import Target

BUSY_STATUSES: Final = frozenset({429, 503})
TRANSIENT_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_HEADER: Final = 200
"""Characters of a header that are looked at: the standard library reads longer ones in quadratic time."""
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([A-Za-z0-9][\w.:-]{0,39})", re.IGNORECASE | re.ASCII)
_BINARY_TYPES: Final = ("image/", "audio/", "video/", "font/", "application/pdf", "application/zip")
_ERROR_EXCERPT = 4_096


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How much of one answer is read, for how long, and who the request says it comes from."""

    user_agent: str
    max_bytes: int = 5_000_000
    """Of the body, after decompression."""
    total_seconds: float = 30.0
    """For the whole exchange, redirects included."""
    max_redirects: int = 3
    private_redirects: bool = False
    """Whether a redirect may lead to another host in a private network."""


class FetchFailed(SourceError):
    """One GET did not end with an answer; `transient` ones may do so later, after `retry_after` seconds if known.

    `busy`: the server says that it has too much to do. `body` is the beginning of what came with an HTTP error.
    """

    def __init__(
        self,
        message: str,
        *,
        transient: bool = False,
        busy: bool = False,
        retry_after: float | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.transient = transient
        self.busy = busy
        self.retry_after = retry_after
        self.body = body


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete answer: `url` after redirects, `charset` as its Content-Type names it."""

    url: str
    content_type: str
    charset: str | None
    body: bytes


class HttpFetcher:
    """Gets one document at a time through the process's client for the outside world."""

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
    ) -> Fetched:
        """Get a document; `headers` go to the named host alone, never to one it redirects to.

        `max_bytes` takes the place of the settings' where less will do.
        Raises SourceError for every way in which this can end without a whole answer of status 200; FetchFailed
        where the server is at fault.
        """
        try:
            target = Target(httpx.URL(url, params=params) if params else httpx.URL(url))
            async with asyncio.timeout(self._settings.total_seconds):
                return await self._follow(target, headers or {}, max_bytes or self._settings.max_bytes)
        except TimeoutError as error:
            message = f"{_host(url)} did not finish answering within {self._settings.total_seconds:g} s"
            raise FetchFailed(message, transient=True) from error
        except httpx.TimeoutException as error:
            raise FetchFailed(
                f"{_host(url)} did not answer in time ({type(error).__name__})", transient=True
            ) from error
        except (httpx.InvalidURL, ValueError) as error:
            # ValueError: a name that some codec on the way cannot write.
            raise FetchFailed(f"{_host(url)} is not, or redirects to, a URL that can be read: {error}") from error
        except AddressNotPublic as error:
            raise FetchFailed(
                f"{_host(url)} redirected to {error.host}, which is not a public address; "
                "name that URL in the settings if it is the feed you mean"
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
        raise FetchFailed(f"redirected more than {self._settings.max_redirects} times, last to {target.url.host}")

    @asynccontextmanager
    async def _sent(self, target: Target, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        # Only gzip is offered: its decoder here is bounded, where httpx would inflate one chunk without end.
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
        raise await _refusal(response, url, max_bytes)
    header = response.headers.get("content-type", "")[:_MAX_HEADER]
    content_type = header.partition(";")[0].strip().lower()
    if content_type.startswith(_BINARY_TYPES):
        raise FetchFailed(f"{url.host} answered with {content_type}, which is no feed")
    body = bytearray()
    async for piece in _decoded(response, max_bytes):
        body += piece
    charset = _CHARSET.search(header)
    return Fetched(str(url), content_type, charset[1].lower() if charset else None, bytes(body))


async def _refusal(response: httpx.Response, url: httpx.URL, max_bytes: int) -> FetchFailed:
    status, body = response.status_code, b""
    async with aclosing(_decoded(response, max_bytes)) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) >= _ERROR_EXCERPT:
                break
    return FetchFailed(
        f"{f'HTTP {status} {httpx.codes.get_reason_phrase(status)}'.rstrip()} from {url.host}",
        transient=status in TRANSIENT_STATUSES,
        busy=status in BUSY_STATUSES,
        retry_after=retry_after(response.headers, datetime.now(UTC)),
        body=body[:_ERROR_EXCERPT],
    )


async def _decoded(response: httpx.Response, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yield the body decompressed, raising FetchFailed as soon as it has more than `max_bytes`."""
    encoding = response.headers.get("content-encoding", "identity")[:_MAX_HEADER].strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise FetchFailed(f"{response.url.host} answered in the encoding {encoding!r}, which was not asked for")
    inflate = None if encoding == "identity" else zlib.decompressobj(16 + zlib.MAX_WBITS)
    room = room_packed = max_bytes
    async for raw in response.aiter_raw():
        # Chunks of a byte each come out of one read by the thousand, without a turn for anybody else.
        await asyncio.sleep(0)
        room_packed -= len(raw)
        try:
            piece = inflate.decompress(raw, room + 1) if inflate else raw
        except zlib.error as error:
            raise FetchFailed(f"{response.url.host} sent broken gzip: {error}") from error
        room -= len(piece)
        if room < 0 or room_packed < 0:
            raise FetchFailed(f"{response.url.host} sent more than {max_bytes} bytes")
        yield piece
        if inflate and inflate.eof:
            return  # What follows would only be kept, without end.
    if inflate and not inflate.eof:
        raise FetchFailed(f"{response.url.host} cut its answer short", transient=True)


def _host(url: str) -> str:
    try:
        return httpx.URL(url).host or url
    except httpx.InvalidURL:
        return repr(url[:100])
