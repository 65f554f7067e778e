"""Connects readers' libraries: a key is stored only after Zotero has accepted it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final
from uuid import UUID, uuid4

from pydantic import SecretStr

from app.config import Settings
from app.errors import BroadsheetError, QuotaExceeded, SourceBusy, SourceError, TemporarilyUnavailable
from app.external.client import ExternalClient, open_external
from app.models.libraries import Access
from app.persistence.reader_libraries import ReaderLibraries
from app.services import Services
from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.rate_limiter import RateLimiter
from app.sources.zotero import Zotero

CHECK_SECONDS: Final = 15.0
"""Seconds for the check of a key, for which its sender waits."""
REQUEST_INTERVAL: Final = 0.2
"""Seconds between the starts of two requests of all processes together."""
_TRY_AGAIN: Final = 60.0


class LibraryKeyMissing(BroadsheetError):
    """The stored key does not count: it is for another library, or Zotero refuses it."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Key of the library missing"


class TooManyKeyChecks(QuotaExceeded):
    """Several keys were given for one reader in a few seconds: Zotero would block this service."""


class LibraryNotChecked(TemporarilyUnavailable):
    """Zotero does not respond, or requires a pause: the key cannot be checked now."""

    title = "Zotero unavailable"


class LibraryConnections:
    """Checks keys and connects libraries."""

    def __init__(self, zotero: Zotero, libraries: ReaderLibraries) -> None:
        self._zotero = zotero
        self._libraries = libraries

    async def connect(self, reader_id: UUID, library: str, collections: Sequence[str], key: SecretStr | None) -> None:
        """Connect a library, or change its collections; without `key`, the stored key of the same library is used.

        Raises `KeyRefused`, `LibraryKeyMissing`, `TooManyKeyChecks`, `LibraryNotChecked`, `ReaderNotFound`,
        `SupabaseError`. Then nothing has changed.
        """
        if key is not None:
            wait = await self._libraries.begin_check(reader_id, uuid4())
            if wait > 0:
                raise TooManyKeyChecks(f"Wait {wait:.0f} s before you give another key.", retry_after=wait)
            await self._check(Access(library, key))
        if not await self._libraries.connect(reader_id, library, collections, key):
            raise LibraryKeyMissing(
                f"No key for the library {library} is stored that Zotero accepts: give its key too."
            )

    async def _check(self, access: Access) -> None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._zotero.check(access)
        except SourceBusy as error:
            raise LibraryNotChecked(
                f"Zotero requires a pause, so the key was not checked and nothing changed. "
                f"Try again in {error.retry_after:.0f} s.",
                retry_after=error.retry_after,
            ) from error
        except (SourceError, TimeoutError) as error:
            reason = str(error) or "no response in time"
            message = f"The key cannot be checked now, so nothing changed ({reason}). Try again later."
            raise LibraryNotChecked(message, retry_after=_TRY_AGAIN) from error


def build_zotero(http: ExternalClient, services: Services, settings: Settings) -> Zotero:
    """Return Zotero's client. All processes together send one request at a time, and share the required pauses."""
    fetcher = HttpFetcher(http, FetchSettings(user_agent=settings.user_agent))
    limiter = RateLimiter(REQUEST_INTERVAL, permits=services.rate_limits, name="zotero")
    return Zotero(fetcher, settings.zotero_base_url, limiter)


@asynccontextmanager
async def open_library_connections(services: Services, settings: Settings) -> AsyncIterator[LibraryConnections]:
    """Open what connects libraries in a process that calls no other service, and close it at the end of the block."""
    async with open_external() as http:
        yield LibraryConnections(build_zotero(http, services, settings), services.libraries)
