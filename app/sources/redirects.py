"""Where a redirect may lead: http(s) only, and not from a public server into a private network."""

from dataclasses import dataclass
from typing import Final

import httpx

from app.addresses import Resolve, is_public, resolve
from app.errors import SourceError

_MAX_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Target:
    """What to request: `url` as people know it, and `pinned`, the checked address that is connected to instead."""

    url: httpx.URL
    pinned: str | None = None

    def __post_init__(self) -> None:
        if self.url.scheme not in {"http", "https"} or not self.url.host or (self.url.port or 0) > _MAX_PORT:
            raise SourceError(f"{str(self.url)[:200]!r} cannot be fetched: it is no http(s) address")

    @property
    def address(self) -> httpx.URL:
        """The URL to connect to."""
        return self.url.copy_with(host=self.pinned) if self.pinned else self.url

    @property
    def headers(self) -> dict[str, str]:
        """What the request must say where it connects to an address instead of a name."""
        return {"Host": self.url.netloc.decode("ascii")} if self.pinned else {}

    @property
    def extensions(self) -> dict[str, str]:
        """The name that the server's certificate must have, for the same case."""
        return {"sni_hostname": self.url.host} if self.pinned else {}


class RedirectPolicy:
    """Judges one redirect at a time.

    The host that the settings name is trusted, wherever it is. A redirect to another one is followed only if all its
    addresses are public, and then to the very address that was checked: a name that resolves differently a moment
    later (DNS rebinding) gains nothing. `private` lifts the check.
    """

    def __init__(self, *, private: bool = False, resolve: Resolve = resolve) -> None:
        self._private = private
        self._resolve = resolve

    async def next(self, target: Target, location: str) -> Target:
        """Return where this redirect leads. Raises SourceError if it must not be followed."""
        url = target.url.join(location)
        following = Target(url, target.pinned)
        if self._private or _origin(url) == _origin(target.url):
            return following
        return Target(url, await self._public_address(target.url.host, url))

    async def _public_address(self, origin: str, url: httpx.URL) -> str:
        try:
            addresses = await self._resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
        except OSError as error:
            raise SourceError(f"{origin} redirected to {url.host}, which cannot be resolved: {error}") from error
        private = [address for address in addresses if not is_public(address)]
        if private or not addresses:
            raise SourceError(
                f"{origin} redirected to {url.host}, which is not a public address; "
                "name that URL in the settings if it is the feed you mean"
            )
        return addresses[0]


def _origin(url: httpx.URL) -> tuple[str, int | None]:
    """Host and port; both default ports count as one, for a server may send its visitors from http to https."""
    return url.host, None if url.port in {80, 443} else url.port
