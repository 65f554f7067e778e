"""Serves the sample edition on loopback, at the paths that arXiv and the default feeds have."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Final
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.sources.feeds import DEFAULT_FEEDS, FeedSettings
from embedded.sample.edition import SampleEdition

_DAY: Final = re.compile(r"submittedDate:\[(\d{4})(\d\d)(\d\d)\d{4} TO ")
_MOST_RESULTS: Final = 2_000


@dataclass(frozen=True, slots=True)
class SampleHosts:
    """Where the sample edition is served: what stands in for arXiv's address, and for the default feeds."""

    arxiv_base_url: str
    feeds: tuple[FeedSettings, ...]

    @classmethod
    def at(cls, url: str) -> "SampleHosts":
        """Return the hosts of a sample server that listens at `url`."""
        feeds = (replace(feed, url=url + urlsplit(feed.url).path) for feed in DEFAULT_FEEDS)
        return cls(url, tuple(feeds))


def sample_app(edition: SampleEdition, news_day: date) -> Starlette:
    """Build the server. A query names the day of its papers; a feed cannot, so the news are all of `news_day`."""

    async def query(request: Request) -> Response:
        asked = request.query_params
        try:
            day = date(*map(int, found.groups())) if (found := _DAY.search(asked["search_query"])) else news_day
            start, most = int(asked.get("start", "0")), int(asked.get("max_results", "10"))
        except (KeyError, ValueError) as error:
            return PlainTextResponse(f"the query cannot be read: {error}", 400)
        if start < 0 or not 0 <= most <= _MOST_RESULTS:
            return PlainTextResponse(f"start={start} or max_results={most} is out of range", 400)
        return _xml(edition.query(day, start=start, most=most), "application/atom+xml")

    async def arxiv_rss(request: Request) -> Response:
        return _xml(edition.arxiv_rss(request.path_params["category"], news_day), "application/rss+xml")

    async def news(request: Request) -> Response:
        return _xml(edition.news(request.url.path, news_day), "application/rss+xml")

    routes = [Route("/api/query", query), *(Route(path, news) for path in edition.feeds)]
    return Starlette(routes=[*routes, Route("/rss/{category}", arxiv_rss)])


def _xml(document: bytes, kind: str) -> Response:
    return Response(document, media_type=f"{kind}; charset=utf-8")


class _Server(uvicorn.Server):
    """Leaves the signals to the process that it is part of."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def serve_sample(news_day: date, *, port: int = 0) -> AsyncIterator[SampleHosts]:
    """Serve the sample edition while the block runs, on a free port of loopback unless one is given."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        config = uvicorn.Config(sample_app(SampleEdition(), news_day), log_level="warning", lifespan="off")
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            # The socket already listens: whoever connects now waits in its queue until the server accepts.
            yield SampleHosts.at(f"http://127.0.0.1:{listening.getsockname()[1]}")
        finally:
            server.should_exit = True
            await serving
