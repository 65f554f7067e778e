"""A fake Crossref: its REST API on loopback, with its limits."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


def work(name: str, title: str = "", **changes: Any) -> dict[str, Any]:
    """A record as Crossref returns it."""
    return {
        "DOI": name.upper(),
        "title": [title or f"The Paper &amp; <i>Theory</i> of {name}"],
        "author": [{"given": "Ada", "family": "First", "sequence": "first"}, {"name": "The Group"}],
        "abstract": "<jats:title>Abstract</jats:title><jats:p>Radar reads <jats:italic>ice</jats:italic>.</jats:p>",
        "container-title": ["Journal of Ice"],
        "volume": "7",
        "issue": "2",
        "page": "1-9",
        "publisher": "Example Press",
        "issued": {"date-parts": [[2026, 3]]},
        "type": "journal-article",
        "URL": f"https://doi.org/{name}",
        **changes,
    }


class FakeCrossref:
    """Responds for `works`, by DOI. A DOI in `malformed` makes the whole list a bad request."""

    def __init__(self, works: Mapping[str, dict[str, Any]], *, headers: Mapping[str, str] | None = None) -> None:
        self.works = dict(works)
        self.malformed: set[str] = set()
        self.headers = dict(headers or {})
        self.failures: list[web.Response] = []
        self.requests: list[web.Request] = []
        self.overlapped = False
        self.url = ""
        self._under_way = 0

    @property
    def listed(self) -> list[list[str]]:
        """The DOIs of each request."""
        return [_dois(request) for request in self.requests]

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["FakeCrossref"]:
        application = web.Application()
        application.router.add_get("/works", self._list)
        application.router.add_get("/works/{doi:.+}", self._one)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _note(self, request: web.Request) -> None:
        self.requests.append(request)
        self.overlapped |= self._under_way > 0
        self._under_way += 1
        await asyncio.sleep(0.002)
        self._under_way -= 1

    async def _list(self, request: web.Request) -> web.Response:
        await self._note(request)
        if self.failures:
            return self.failures.pop(0)
        dois = _dois(request)
        if self.malformed & set(dois):
            return web.json_response({"status": "failed", "message-type": "validation-failure"}, status=400)
        items = [self.works[name] for name in dois if name in self.works][: int(request.query["rows"])]
        message = {"total-results": len(items), "items": items}
        return web.json_response({"status": "ok", "message": message}, headers=self.headers)

    async def _one(self, request: web.Request) -> web.Response:
        await self._note(request)
        if self.failures:
            return self.failures.pop(0)
        name = request.match_info["doi"]
        if name not in self.works:
            return web.Response(status=404, text="Resource not found.", headers=self.headers)
        return web.json_response({"status": "ok", "message": self.works[name]}, headers=self.headers)


def _dois(request: web.Request) -> list[str]:
    if "filter" not in request.query:
        return [request.match_info["doi"]]
    return [each.removeprefix("doi:") for each in request.query["filter"].split(",")]
