"""A fake arXiv: its query API, daily listing and OAI-PMH on loopback, with arXiv's rules.

Sources of the rules: the terms of use (https://info.arxiv.org/help/api/tou.html), the manuals of the three interfaces,
and the code of the two newer ones (https://github.com/arXiv/oaipmh, https://github.com/arXiv/arxiv-feed).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import parse_qs, quote, unquote, urlencode

from aiohttp import web

from app.models.arxiv_categories import CATEGORIES, oai_set
from tests.support import arxiv_papers as form
from tests.support.arxiv_papers import EASTERN, Paper

INTERVAL = 3.0
Failure = Callable[[], web.Response]


class OaiError(Exception):
    """An error of the protocol; its text is the code."""


def busy(retry_after: int | None = None, status: int = 429) -> Failure:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return lambda: web.Response(status=status, text="Rate exceeded.", headers=headers)


class MovedClock:
    """A clock that moves only while somebody sleeps by it."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += seconds
        await asyncio.sleep(0)


class FakeArxiv:
    """Serves `papers` as arXiv would at the moment `now`.

    `failures` has a response for each path that fails (`api`, `listing`, `oai`). `cached_listing` is the date of an old
    listing that is still served. `broken_rules` has what a client did
    wrong: requests that overlapped, or that began less than three seconds after another, by `clock` if there is one.
    """

    def __init__(self, papers: Sequence[Paper], now: datetime, *, clock: MovedClock | None = None) -> None:
        self.papers = list(papers)
        self.now = now
        self.url = ""
        self.requests: list[tuple[str, str]] = []
        self.failures: dict[str, Failure] = {}
        self.broken_rules: list[str] = []
        self.most_listed = 2_000
        self.records_per_page = 3_500
        self.holidays: set[date] = set()
        self.cached_listing: date | None = None
        self.after_oai_page: Callable[[], None] = lambda: None
        self._clock = clock
        self._last_begin = float("-inf")
        self._under_way = 0

    @property
    def paths(self) -> list[str]:
        """The path of each request."""
        return [path for path, _ in self.requests]

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["FakeArxiv"]:
        application = web.Application()
        routes = {"/api/query": ("api", self._api), "/oai": ("oai", self._oai)}
        for route, (path, response) in {**routes, "/rss/{categories}": ("listing", self._listing)}.items():
            application.router.add_get(route, self._handler(path, response))
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        try:
            yield self
        finally:
            await runner.cleanup()

    def _handler(
        self, path: str, response: Callable[[web.Request], web.Response]
    ) -> Callable[[web.Request], "asyncio.Future[web.Response]"]:
        async def handle(request: web.Request) -> web.Response:
            if self._under_way:
                self.broken_rules.append(f"{path}: a second connection")
            if self._clock and self._clock() - self._last_begin < INTERVAL:
                self.broken_rules.append(f"{path}: {self._clock() - self._last_begin:g} s after another request")
            self._last_begin = self._clock() if self._clock else 0.0
            self._under_way += 1
            self.requests.append((path, request.path_qs))
            try:
                await asyncio.sleep(0.002)
                return self.failures[path]() if path in self.failures else response(request)
            finally:
                self._under_way -= 1

        return handle  # type: ignore[return-value]  # aiohttp takes any coroutine function

    def _api(self, request: web.Request) -> web.Response:
        query = request.query["search_query"]
        first, last = re.findall(r"submittedDate:\[(\d{12}) TO (\d{12})\]", query)[0]
        wanted = [name.removesuffix(".*") for name in re.findall(r"cat:([\w.*-]+)", query)]
        found = [
            paper
            for paper in sorted(self.papers, key=lambda paper: paper.submitted)
            if form.in_api_from(paper) <= self.now
            and first <= f"{paper.submitted.astimezone(UTC):%Y%m%d%H%M}" <= last
            and (not wanted or any(paper.has(name) for name in wanted))
        ]
        start, size = int(request.query["start"]), int(request.query["max_results"])
        return web.Response(text=form.atom_page(found, start, size), content_type="application/atom+xml")

    def _listing(self, request: web.Request) -> web.Response:
        names = request.match_info["categories"].split("+")
        today = self.cached_listing or self.now.astimezone(EASTERN).date()
        if unknown := [name for name in names if name not in CATEGORIES]:
            return web.Response(status=400, text=f"<rss><channel><title>Bad {unknown}</title></channel></rss>")
        listed = [] if today in self.holidays else self._listed(names, today)
        # Replacements come first: what is cut off is new.
        order = {"replace-cross": 0, "replace": 1, "cross": 2, "new": 3}
        listed.sort(key=lambda each: order[each[0]])
        return web.Response(text=form.rss(listed[: self.most_listed], today), content_type="application/rss+xml")

    def _listed(self, names: Sequence[str], day: date) -> list[tuple[str, Paper]]:
        listed = []
        for paper in self.papers:
            new = form.listing_date(paper.submitted) == day
            if (new or (paper.replaced and form.listing_date(paper.replaced) == day)) and any(map(paper.has, names)):
                primary = any(Paper("", paper.submitted, paper.categories[:1]).has(name) for name in names)
                kind = ("new" if primary else "cross") if new else ("replace" if primary else "replace-cross")
                listed.append((kind, paper))
        return listed

    def _oai(self, request: web.Request) -> web.Response:
        try:
            text = self._list_records(dict(request.query))
        except OaiError as error:
            text = form.oai_document(f"<error code='{error}'>The reason.</error>")
        self.after_oai_page()
        return web.Response(text=text, content_type="text/xml")

    def _list_records(self, query: dict[str, str]) -> str:
        token, skip = query.pop("resumptionToken", None), 0
        if token is not None:
            if set(query) != {"verb"}:
                raise OaiError("badArgument")
            query = {name: values[0] for name, values in parse_qs(unquote(token)).items()}
            if query.pop("expires", "") <= self.now.astimezone(UTC).isoformat():
                raise OaiError("badResumptionToken")
            skip = int(query.pop("skip"))
        found = self._matching(query)
        page, rest = found[skip : skip + self.records_per_page], found[skip + self.records_per_page :]
        expires = datetime.combine(self.now.astimezone(UTC).date() + timedelta(days=1), time(0), UTC)
        following = None if token is None else ""
        if rest:
            state = {**query, "skip": str(skip + len(page)), "expires": expires.isoformat()}
            following = quote(urlencode(state))
        return form.oai_records(page, following, expires)

    def _matching(self, query: dict[str, str]) -> list[Paper]:
        if query.get("verb") != "ListRecords":
            raise OaiError("badVerb")
        if set(query) - {"verb", "metadataPrefix", "from", "until", "set"} or "metadataPrefix" not in query:
            raise OaiError("badArgument")
        if query["metadataPrefix"] != "arXivRaw":
            raise OaiError("cannotDisseminateFormat")
        since, until = date.fromisoformat(query["from"]), date.fromisoformat(query.get("until", "9999-12-31"))
        sets = {oai_set(name): name for name in CATEGORIES}
        if since > self.now.astimezone(UTC).date() or ("set" in query and query["set"] not in sets):
            raise OaiError("badArgument")
        found = [
            paper
            for paper in sorted(self.papers, key=lambda each: (form.datestamp(each), each.identifier))
            if form.in_oai_from(paper) <= self.now
            and since <= form.datestamp(paper) <= until
            and ("set" not in query or paper.has(sets[query["set"]]))
        ]
        if not found:
            raise OaiError("noRecordsMatch")
        return found
