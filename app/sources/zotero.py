"""Reads libraries at Zotero: https://www.zotero.org/support/dev/web_api/v3/basics and .../syncing.

Every response names the library's version. A read of several responses is consistent only if all have the same one.
"""

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from app.errors import BroadsheetError, SourceBusy, SourceError
from app.models.libraries import Access, Collection
from app.sources.fetcher import Fetched, FetchFailed, HttpFetcher
from app.sources.rate_limiter import RateLimiter

ENTRIES_PER_REQUEST: Final = 50
"""The keys that one request may name."""
MAX_COLLECTIONS: Final = 2_000
MAX_BYTES: Final = 4_000_000
"""Of one response."""
_PAGE: Final = 100
_MAX_NAME: Final = 500
_MAX_VERSION: Final = 2**53
_PATIENCE: Final = 5.0
"""Seconds for which a request waits for the end of a pause; a longer one ends the sync until then."""
_BUSY_PAUSE: Final = 300.0
"""Seconds without `Retry-After`: as long as Zotero refuses an address that has sent wrong keys."""
_FAILURE_PAUSE: Final = 60.0
_MAX_PAUSE: Final = 86_400.0
_KEY: Final = re.compile(r"[A-Z0-9]{8}")
_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_FIELDS: Final = {"title": "title", "abstract": "abstractNote", "DOI": "DOI", "URL": "url"}
"""Variables of CSL JSON, and Zotero's own fields with the same meaning."""
_NO_ACCESS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


class KeyRefused(BroadsheetError):
    """Zotero does not know the key, or the key may not read the library."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Zotero refuses the key"


class _NotFound(KeyRefused):
    """The key may read no library, or there is no such collection, at this address."""


class Versions(NamedTuple):
    """The version of each entry of a library or a collection, at one version of the library."""

    library_version: int
    entries: Mapping[str, int]


class Collections(NamedTuple):
    """A page's or a library's collections, at one version of the library."""

    library_version: int
    collections: tuple[Collection, ...]


class Entry(NamedTuple):
    """An entry of a library: its type at Zotero, and its values as CSL JSON."""

    key: str
    item_type: str
    csl: Mapping[str, Any]


class Entries(NamedTuple):
    """The entries that could be read, at one version of the library."""

    library_version: int
    entries: tuple[Entry, ...]


class LibraryChanged(SourceError):
    """The library changed between two requests: what they returned does not fit together."""


class Zotero:
    """The part of Zotero's API that reads libraries. A key is sent to the host of `base_url` alone.

    All methods raise `KeyRefused`, `SourceBusy` (Zotero requires a pause), and `SourceError` if Zotero does not
    respond, or not as documented.
    """

    def __init__(self, fetcher: HttpFetcher, base_url: str, rate_limiter: RateLimiter) -> None:
        self._fetcher = fetcher
        self._base_url = base_url
        self._host = urlsplit(base_url).netloc
        self._rate_limiter = rate_limiter

    async def check(self, access: Access) -> None:
        """Return if the key may read the library."""
        found = _json(await self._get(access, "keys/current", {}))
        if not isinstance(found, dict):
            raise _broken("the description of the key is not an object")
        if not _may_read(found, access.library):
            raise KeyRefused(
                f"The key may not read the library {access.library}. Allow it at zotero.org/settings/keys, and check "
                f"the number of the library."
            )
        await self._get(access, f"{access.library}/items/top", {"format": "versions", "limit": "1"})

    async def collections(self, access: Access, *, since: int | None = None) -> Collections | None:
        """Read all collections; None if the library has not changed since the version `since`.

        Raises `LibraryChanged`.
        """
        found: list[Collection] = []
        version: int | None = None
        while True:
            params = {"format": "json", "limit": str(_PAGE), "start": str(len(found)), "sort": "title"}
            response = await self._get(access, f"{access.library}/collections", params, since=since)
            if response is None:
                return None
            since = None
            page_version, total = _version(response), _total(response)
            if version not in {None, page_version}:
                raise LibraryChanged("The library changed while its collections were read.")
            version = page_version
            page = _list(response)
            found += [_collection(each) for each in page]
            if total > MAX_COLLECTIONS:
                raise SourceError(f"The library has {total:,} collections; at most {MAX_COLLECTIONS:,} can be read.")
            if len(found) == total:
                return Collections(page_version, tuple(found))
            if not page or len(found) > total:
                raise _broken(f"it has {len(found)} of {total} collections")

    async def versions(
        self, access: Access, *, collection: str | None = None, since: int | None = None
    ) -> Versions | None:
        """Read the versions of the entries that are not in the trash, of the library or a collection.

        None if the library has not changed since the version `since`. Raises `LibraryChanged` if the collection is
        gone.
        """
        place = f"{access.library}/collections/{collection}" if collection else access.library
        try:
            response = await self._get(access, f"{place}/items/top", {"format": "versions"}, since=since)
        except _NotFound as error:
            if collection is None:
                raise
            raise LibraryChanged("A collection was deleted while the library was read.") from error
        if response is None:
            return None
        found = _json(response)
        entries = {} if found == [] else found
        if not isinstance(entries, dict) or not all(map(_KEY.fullmatch, entries)):
            raise _broken("the versions of the entries are not an object with their keys")
        if not all(map(_is_version, entries.values())):
            raise _broken("an entry's version is not a number")
        if len(entries) != _total(response):
            raise _broken(f"it has {len(entries)} of {_total(response)} entries")
        return Versions(_version(response), entries)

    async def entries(self, access: Access, keys: Sequence[str]) -> Entries:
        """Read up to `ENTRIES_PER_REQUEST` entries. Those that are missing or not as documented are omitted.

        Raises `ResponseTooLarge` if they are larger than `MAX_BYTES` together.
        """
        params = {"itemKey": ",".join(keys), "format": "json", "include": "data,csljson"}
        response = await self._get(access, f"{access.library}/items", params)
        wanted = set(keys)
        read = (_entry(each) for each in _list(response)[: 2 * ENTRIES_PER_REQUEST])
        found = {entry.key: entry for entry in read if entry is not None and entry.key in wanted}
        return Entries(_version(response), tuple(found[key] for key in keys if key in found))

    async def _get(self, access: Access, path: str, params: Mapping[str, str], *, since: int | None = None) -> Any:
        """Send one request; return the response, or None if the library has not changed since `since`."""
        headers = {"Zotero-API-Version": "3", "Zotero-API-Key": access.key.get_secret_value()}
        if since is not None:
            headers["If-Modified-Since-Version"] = str(since)
        async with self._rate_limiter.permit(self._host, patience=_PATIENCE) as permit:
            try:
                response = await self._fetcher.get(
                    f"{self._base_url}/{path}", params=params, headers=headers, max_bytes=MAX_BYTES
                )
            except FetchFailed as error:
                permit.pause = max(_backoff(error.headers), _pause(error))
                if error.http_status == HTTPStatus.NOT_MODIFIED and since is not None:
                    return None
                raise _meaning(error) from error
            permit.pause = _backoff(response.headers)
            return response


def _meaning(error: FetchFailed) -> BroadsheetError:
    if error.http_status in _NO_ACCESS:
        kind = _NotFound if error.http_status == HTTPStatus.NOT_FOUND else KeyRefused
        return kind("Zotero refuses the key: it does not exist, or may no longer read this library.")
    return SourceBusy(str(error), retry_after=_pause(error)) if error.busy else error


def _pause(error: FetchFailed) -> float:
    if error.retry_after is not None:
        return error.retry_after
    return _BUSY_PAUSE if error.busy else _FAILURE_PAUSE if error.transient else 0.0


def _backoff(headers: Mapping[str, str]) -> float:
    """Return the seconds for which Zotero asks for no more requests, also after a successful one."""
    value = headers.get("backoff", "")[:20].strip()
    return min(float(value), _MAX_PAUSE) if _NUMBER.fullmatch(value) else 0.0


def _may_read(key: Mapping[str, Any], library: str) -> bool:
    kind, _, number = library.partition("/")
    access = key.get("access")
    allowed = access.get("user" if kind == "users" else "groups") if isinstance(access, dict) else None
    if not isinstance(allowed, dict):
        return False
    if kind == "users":
        return str(key.get("userID")) == number and allowed.get("library") is True
    groups = (allowed.get("all"), allowed.get(number))
    return any(isinstance(group, dict) and group.get("library") is True for group in groups)


def _json(response: Fetched) -> Any:
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        raise _broken("it is not JSON") from None


def _list(response: Fetched) -> list[Any]:
    found = _json(response)
    if not isinstance(found, list):
        raise _broken("it is not a list")
    return found


def _version(response: Fetched) -> int:
    return _header(response, "last-modified-version")


def _total(response: Fetched) -> int:
    return _header(response, "total-results")


def _header(response: Fetched, name: str) -> int:
    value = response.headers.get(name, "")[:20].strip()
    if not _NUMBER.fullmatch(value):
        raise _broken(f"the header {name} is missing or not a number")
    return int(value)


def _is_version(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_VERSION


def _collection(found: Any) -> Collection:
    data = found.get("data") if isinstance(found, dict) else None
    if not isinstance(data, dict):
        raise _broken("a collection has no data")
    key, name, parent = data.get("key"), data.get("name"), data.get("parentCollection")
    if not isinstance(key, str) or not _KEY.fullmatch(key) or not isinstance(name, str):
        raise _broken("a collection has no key or no name")
    return Collection(key=key, name=name[:_MAX_NAME], parent=parent if isinstance(parent, str) else None)


def _entry(found: Any) -> Entry | None:
    if not isinstance(found, dict):
        return None
    key, data, csl = found.get("key"), found.get("data"), found.get("csljson")
    if not isinstance(key, str) or not isinstance(data, dict) or not isinstance(data.get("itemType"), str):
        return None
    # Notes have no CSL JSON, and that of an article with pages has no URL.
    values = csl if isinstance(csl, dict) else {}
    others = {name: data[field] for name, field in _FIELDS.items() if not values.get(name) and field in data}
    return Entry(key, data["itemType"][:_MAX_NAME], values | others)


def _broken(problem: str) -> SourceError:
    return SourceError(f"Zotero's response does not have the documented form: {problem}.")
