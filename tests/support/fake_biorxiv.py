"""A fake API of bioRxiv and medRxiv, with the habits of the real one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Posted:
    """A version of a preprint, on the day on which it was posted."""

    number: int
    version: int = 1
    day: str = "2026-01-06"
    category: str = "Cell Biology"
    type: str = "new results"
    title: str = ""
    prefix: str = "10.64898"

    def as_entry(self, server: str) -> dict[str, Any]:
        return {
            "doi": f"{self.prefix}/2026.01.06.{self.number:06d}",
            "title": self.title or f"Preprint {self.number}, version {self.version}",
            "authors": "Second, B.; van der First, A. C.",
            "author_corresponding": "A. C. First",
            "date": self.day,
            "version": str(self.version),
            "type": self.type,
            "license": "cc_by",
            "category": self.category,
            "jatsxml": "https://www.biorxiv.org/content/early/source.xml",
            "abstract": f"The abstract of version {self.version}, with p<q.",
            "published": "NA",
            "server": server,
        }


class FakeBiorxiv:
    """Responds with pages of `page_size` entries; reports `surplus` entries more than there are."""

    def __init__(self, posted: Sequence[Posted], *, page_size: int = 30, surplus: int = 0) -> None:
        self.posted = list(posted)
        self.page_size = page_size
        self.surplus = surplus
        self.url = ""
        self.paths: list[str] = []
        self.failures: list[web.Response] = []
        """The responses to the next requests."""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["FakeBiorxiv"]:
        application = web.Application()
        application.router.add_get("/details/{server}/{first}/{last}/{cursor}/json", self._details)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _details(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        if self.failures:
            return self.failures.pop(0)
        path, start = request.match_info, int(request.match_info["cursor"])
        found = [each for each in self.posted if path["first"] <= each.day <= path["last"]]
        page = found[start : start + self.page_size]
        if not page:
            return web.json_response({"messages": [{"status": "no posts found"}], "collection": []})
        message = {
            "status": "ok",
            "interval": f"{path['first']}:{path['last']}",
            "cursor": str(start),
            "count": len(page),
            "count_new_papers": str(sum(each.version == 1 for each in found)),
            "total": str(len(found) + self.surplus),
        }
        entries = [each.as_entry(path["server"]) for each in page]
        return web.json_response({"messages": [message], "collection": entries})
