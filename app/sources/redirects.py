"""Checks the targets of redirects: http(s) only, and not from a public server into a private network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from app.errors import SourceError
from app.external.client import PUBLIC_ONLY

_MAX_PORT: Final = 65_535
_MAX_LOCATION: Final = 4_000


@dataclass(frozen=True, slots=True)
class Target:
    """A URL to request. The host in the settings is trusted, public or not; any other must be public."""

    url: httpx.URL
    trusted: bool = True

    def __post_init__(self) -> None:
        if self.url.scheme not in {"http", "https"} or not self.url.host or (self.url.port or 0) > _MAX_PORT:
            raise SourceError(f"{_printable(self.url)} cannot be fetched: it is not an http(s) URL")

    @property
    def extensions(self) -> Mapping[str, bool]:
        """The request's extensions: with them, the client refuses addresses that are not public."""
        return {} if self.trusted else PUBLIC_ONLY

    def redirected(self, location: str, *, private: bool) -> "Target":
        """Return the target of this redirect. With `private`, all hosts are trusted.

        Raises SourceError if it is not an http(s) URL, `httpx.InvalidURL` and ValueError if it cannot be parsed.
        """
        if len(location) > _MAX_LOCATION:
            raise SourceError(f"{self.url.host} redirected to a URL of more than {_MAX_LOCATION} characters")
        url = self.url.join(location)
        return Target(url, trusted=private or (self.trusted and _origin(url) == _origin(self.url)))


def _origin(url: httpx.URL) -> tuple[str, int | None]:
    """Return host and port. Both default ports count as equal, since a server may redirect from http to https."""
    return url.host, None if url.port in {80, 443} else url.port


def _printable(url: httpx.URL) -> str:
    return repr(f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"[:100])
