"""Serves the sample edition on loopback, with the paths of arXiv, NewsAPI and the default feeds."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.sources.feeds import DEFAULT_FEEDS, FeedSettings
from embedded.sample.arxiv_query import ArxivQuery, BadQuery
from embedded.sample.edition import SampleEdition

_MAX_PAGE_SIZE: Final = 100


@dataclass(frozen=True, slots=True)
class SampleHosts:
    """The sample server's URLs, which replace those of arXiv, NewsAPI and the default feeds."""

    arxiv_base_url: str
    newsapi_base_url: str
    feeds: tuple[FeedSettings, ...]

    @classmethod
    def at(cls, url: str) -> "SampleHosts":
        """Return the URLs of a sample server at `url`."""
        feeds = (replace(feed, url=url + urlsplit(feed.url).path) for feed in DEFAULT_FEEDS)
        return cls(url, url, tuple(feeds))


def sample_app(edition: SampleEdition, news_day: date) -> Starlette:
    """Build the server. A query names the day of its papers; a feed has no day, so all news are of `news_day`."""

    async def query(request: Request) -> Response:
        try:
            parsed = ArxivQuery.parse(request.query_params, news_day)
        except BadQuery as error:
            return _xml(edition.error_feed(error), "application/atom+xml", 400)
        return _xml(edition.query(parsed), "application/atom+xml")

    async def everything(request: Request) -> Response:
        return _newsapi(request, edition, news_day)

    async def arxiv_rss(request: Request) -> Response:
        # The listing of a day has what was announced on the evening before.
        listed = news_day + timedelta(days=1)
        return _xml(edition.arxiv_rss(request.path_params["categories"], listed), "application/rss+xml")

    async def news(request: Request) -> Response:
        return _xml(edition.news(request.url.path, news_day), "application/rss+xml")

    routes = [Route("/api/query", query), *(Route(path, news) for path in edition.feeds)]
    routes += [
        Route("/rss/{categories}", arxiv_rss),
        Route("/oai", _endpoint(_oai, edition)),
        Route("/details/{server}/{first}/{last}/{cursor}/json", _endpoint(_preprints, edition)),
        Route("/v2/everything", everything),
        Route("/works", _endpoint(_works, edition)),
        Route("/works/{doi:path}", _endpoint(_works, edition)),
    ]
    return Starlette(routes=routes)


def _endpoint(
    respond: Callable[[Request, SampleEdition], Response], edition: SampleEdition
) -> Callable[[Request], Coroutine[None, None, Response]]:
    async def handle(request: Request) -> Response:
        return respond(request, edition)

    return handle


def _oai(request: Request, edition: SampleEdition) -> Response:
    """Respond as arXiv's OAI-PMH interface does: https://info.arxiv.org/help/oa/index.html."""
    return _xml(_oai_document(request, edition), "text/xml")


def _oai_document(request: Request, edition: SampleEdition) -> bytes:
    query = request.query_params
    if query.get("verb") != "ListRecords":
        return edition.oai_error("badVerb", "only ListRecords is served")
    if "resumptionToken" in query:
        return edition.oai_error("badResumptionToken", "no list of the sample has a second page")
    if query.get("metadataPrefix") != "arXivRaw":
        return edition.oai_error("cannotDisseminateFormat", "only arXivRaw is served")
    try:
        return edition.oai_records(date.fromisoformat(query.get("from", "")))
    except ValueError:
        return edition.oai_error("badArgument", "from date format must be YYYY-MM-DD")


def _preprints(request: Request, edition: SampleEdition) -> Response:
    """Respond as the API of bioRxiv and medRxiv does: https://api.biorxiv.org/details/biorxiv/help."""
    path = request.path_params
    try:
        day, start = date.fromisoformat(path["first"]), int(path["cursor"])
    except ValueError:
        return JSONResponse({"messages": [{"status": "Incorrect interval"}], "collection": []})
    return JSONResponse(edition.preprints(path["server"], day, start))


def _works(request: Request, edition: SampleEdition) -> Response:
    """Respond as Crossref does: https://api.crossref.org."""
    if "doi" in request.path_params:
        found = edition.works([request.path_params["doi"]])["message"]["items"]
        if not found:
            return Response("Resource not found.", 404)
        return JSONResponse({"status": "ok", "message": found[0]})
    wanted = [each.removeprefix("doi:") for each in request.query_params.get("filter", "").split(",")]
    return JSONResponse(edition.works(wanted))


def _newsapi(request: Request, edition: SampleEdition, news_day: date) -> Response:
    """Respond as NewsAPI does: https://newsapi.org/docs/endpoints/everything."""
    query = request.query_params
    try:
        first = datetime.fromisoformat(query.get("from", news_day.isoformat()))
        limit, page = int(query.get("pageSize", "100")), int(query.get("page", "1"))
        if not (query.get("q") and 1 <= limit <= _MAX_PAGE_SIZE and page >= 1):
            raise ValueError(f"q={query.get('q')!r}, pageSize={limit} or page={page} is not accepted")
    except ValueError as error:
        return _error("parametersInvalid", str(error), 400)
    if not (request.headers.get("x-api-key") or query.get("apiKey")):
        return _error("apiKeyMissing", "Your API key is missing.", 401)
    return JSONResponse(edition.newsapi(first.date(), limit=limit, page=page))


def _xml(document: bytes, kind: str, status: int = 200) -> Response:
    return Response(document, status, media_type=f"{kind}; charset=utf-8")


def _error(code: str, message: str, status: int) -> Response:
    """NewsAPI's error response."""
    return JSONResponse({"status": "error", "code": code, "message": message}, status)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process that runs it handles signals."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def serve_sample(news_day: date, *, port: int = 0) -> AsyncIterator[SampleHosts]:
    """Serve the sample edition on loopback while the block runs; port 0 is a free port."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        config = uvicorn.Config(sample_app(SampleEdition(), news_day), log_level="warning", lifespan="off")
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            # The socket already listens: new connections wait in its queue until the server accepts them.
            yield SampleHosts.at(f"http://127.0.0.1:{listening.getsockname()[1]}")
        finally:
            server.should_exit = True
            await serving
