"""Where a redirect may lead: http(s) only, and not from a public server into a private network."""

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
    """What to request. The host that the settings name is trusted, wherever it is; any other must be public."""

    url: httpx.URL
    trusted: bool = True

    def __post_init__(self) -> None:
        if self.url.scheme not in {"http", "https"} or not self.url.host or (self.url.port or 0) > _MAX_PORT:
            raise SourceError(f"{_shown(self.url)} cannot be fetched: it is no http(s) address")

    @property
    def extensions(self) -> Mapping[str, bool]:
        """What the request carries, so that the client refuses what is not public."""
        return {} if self.trusted else PUBLIC_ONLY

    def redirected(self, location: str, *, private: bool) -> "Target":
        """Return where this redirect leads; with `private`, all hosts are trusted.

        Raises SourceError for what is no http(s) address, `httpx.InvalidURL` and ValueError for what cannot be read.
        """
        if len(location) > _MAX_LOCATION:
            raise SourceError(f"{self.url.host} redirected to an address of more than {_MAX_LOCATION} characters")
        url = self.url.join(location)
        return Target(url, trusted=private or (self.trusted and _origin(url) == _origin(self.url)))


def _origin(url: httpx.URL) -> tuple[str, int | None]:
    """Host and port; both default ports count as one, for a server may send its visitors from http to https."""
    return url.host, None if url.port in {80, 443} else url.port


def _shown(url: httpx.URL) -> str:
    return repr(f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"[:100])
