"""A fake Zotero: the part of its API that reads libraries, on loopback, as the manual describes version 3.

https://www.zotero.org/support/dev/web_api/v3/basics and .../syncing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

KEY: Final = "P9NiFoyLeZu2bZNvvuQPDWsd"
USER: Final = "users/475425"
GROUP: Final = "groups/700"
MOST_KEYS: Final = 50
DEFAULT_PAGE, LARGEST_PAGE = 25, 100


def entry_key(number: int) -> str:
    """A key as Zotero assigns it: eight capital letters and digits."""
    return f"AAA{number:05}"


@dataclass
class Item:
    """An entry of the library, and the collections that contain it."""

    title: str
    doi: str = ""
    abstract: str = ""
    collections: frozenset[str] = frozenset()
    item_type: str = "journalArticle"
    version: int = 0
    in_trash: bool = False

    def json(self, key: str) -> dict[str, Any]:
        csl = {
            "id": f"475425/{key}",
            "type": "article-journal",
            "title": self.title,
            "abstract": self.abstract,
            "DOI": self.doi,
            "author": [{"family": "First", "given": "Ada"}],
            "container-title": "Journal of Ice",
            "issued": {"date-parts": [["2026", 3, 1]]},
        }
        data: dict[str, Any] = {"key": key, "version": self.version, "itemType": self.item_type, "title": self.title}
        data |= {"collections": sorted(self.collections), "url": f"https://ice.example/{key}"}
        shown = {"key": key, "version": self.version, "library": {"type": "user"}, "data": data}
        return shown if self.item_type == "note" else shown | {"csljson": csl}


@dataclass
class FakeZotero:
    """One library, with the keys that may read it. Each change raises the library's version."""

    library: str = USER
    items: dict[str, Item] = field(default_factory=dict)
    collections: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """By key: the name, and the key of the collection that contains it."""
    keys: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By key: the access, as /keys/current describes it."""
    version: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    failures: list[web.Response] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)
    before: Callable[[web.Request], None] | None = None
    """Called before each response."""
    hold: Awaitable[object] | None = None
    """Awaited before the next response."""
    url: str = ""

    def __post_init__(self) -> None:
        kind, _, number = self.library.partition("/")
        access = {"user": {"library": True}} if kind == "users" else {"groups": {number: {"library": True}}}
        self.keys.setdefault(KEY, access)

    @property
    def paths(self) -> list[str]:
        """The paths of all requests, without the library."""
        return [request.path.removeprefix(f"/{self.library}/") for request in self.requests]

    def put(self, number: int, title: str, **values: Any) -> str:
        """Add an entry or replace it; return its key."""
        self.version += 1
        key = entry_key(number)
        self.items[key] = Item(title, version=self.version, **values)
        return key

    def fill(self, numbers: Iterable[int], **values: Any) -> None:
        """Add many entries with one change, each with a DOI and an abstract."""
        self.version += 1
        for number in numbers:
            title, abstract = f"The memory of glacier {number}", f"Radar reads layer {number} of the ice."
            paper = Item(title, f"10.1000/ice.{number}", abstract, version=self.version, **values)
            self.items[entry_key(number)] = paper

    def move(self, key: str, collections: Sequence[str]) -> None:
        """Move an entry to these collections."""
        self.version += 1
        self.items[key].collections = frozenset(collections)
        self.items[key].version = self.version

    def remove(self, key: str) -> None:
        """Delete an entry."""
        self.version += 1
        del self.items[key]

    def trash(self, key: str) -> None:
        """Move an entry to the trash."""
        self.version += 1
        self.items[key].in_trash = True
        self.items[key].version = self.version

    def collect(self, key: str, name: str, parent: str | None = None) -> str:
        """Add or rename a collection; return its key."""
        self.version += 1
        self.collections[key] = (name, parent)
        return key

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator["FakeZotero"]:
        application = web.Application()
        application.router.add_get("/keys/current", self._key)
        application.router.add_get("/{kind:users|groups}/{id}/collections", self._collections)
        application.router.add_get("/{kind:users|groups}/{id}/items/top", self._top)
        application.router.add_get("/{kind:users|groups}/{id}/collections/{collection}/items/top", self._top)
        application.router.add_get("/{kind:users|groups}/{id}/items", self._items)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _refusal(self, request: web.Request, *, of_library: bool = True) -> web.Response | None:
        """Note the request; return what is responded instead of the data, if anything is."""
        self.requests.append(request)
        if self.before is not None:
            self.before(request)
        if self.hold is not None:
            held, self.hold = self.hold, None
            await held
        if self.failures:
            return self.failures.pop(0)
        assert request.headers["Zotero-API-Version"] == "3"
        key = request.headers.get("Zotero-API-Key", "")
        if key not in self.keys:
            return web.Response(status=403, text="Invalid key")
        if not of_library:
            return None
        kind, number = request.match_info["kind"], request.match_info["id"]
        allowed = self.keys[key].get("user" if kind == "users" else "groups", {})
        if f"{kind}/{number}" != self.library or not (kind == "users" or number in allowed) or not allowed:
            return web.Response(status=403, text="Forbidden")
        since = request.headers.get("If-Modified-Since-Version")
        if since is not None and self.version <= int(since):
            return web.Response(status=304, headers=self.headers)
        return None

    def _json(self, content: object, total: int | None = None) -> web.Response:
        headers = {"Last-Modified-Version": str(self.version)} | self.headers
        if total is not None:
            headers["Total-Results"] = str(total)
        return web.json_response(content, headers=headers)

    async def _key(self, request: web.Request) -> web.Response:
        if refusal := await self._refusal(request, of_library=False):
            return refusal
        key = request.headers["Zotero-API-Key"]
        access = {"key": key, "userID": 475425, "username": "Ada", "access": self.keys[key]}
        return web.json_response(access, headers=self.headers)

    async def _collections(self, request: web.Request) -> web.Response:
        if refusal := await self._refusal(request):
            return refusal
        start = int(request.query.get("start", "0"))
        limit = min(int(request.query.get("limit", DEFAULT_PAGE)), LARGEST_PAGE)
        found = sorted(self.collections.items(), key=lambda each: (each[1][0], each[0]))
        page = [
            {"key": key, "data": {"key": key, "name": name, "parentCollection": parent or False}}
            for key, (name, parent) in found[start : start + limit]
        ]
        return self._json(page, len(found))

    async def _top(self, request: web.Request) -> web.Response:
        if refusal := await self._refusal(request):
            return refusal
        assert request.query["format"] == "versions"
        collection = request.match_info.get("collection")
        if collection is not None and collection not in self.collections:
            return web.Response(status=404, text="Collection not found")
        found = {
            key: item.version
            for key, item in self.items.items()
            if not item.in_trash and (collection is None or collection in item.collections)
        }
        limit = int(request.query.get("limit", len(found)))
        return self._json(dict(list(found.items())[:limit]) or [], len(found))

    async def _items(self, request: web.Request) -> web.Response:
        if refusal := await self._refusal(request):
            return refusal
        assert request.query["include"] == "data,csljson"
        keys = request.query["itemKey"].split(",")
        if len(keys) > MOST_KEYS:
            return web.Response(status=400, text="Too many keys")
        found = [self.items[key].json(key) for key in keys if key in self.items]
        return self._json(found, len(found))
