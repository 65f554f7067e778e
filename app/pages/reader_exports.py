"""Exports for readers' other programs, at signed addresses without a day: an Atom feed, and saved papers.

Programs poll for years. Unchanged content gives 304, and errors are a line of text. A browser gets the feed and errors
as pages.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from functools import cache
from hashlib import blake2b
from http import HTTPStatus
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from app.api.problems import RETRY_AFTER, route_of
from app.api.saved import attachment, saved_bibtex, saved_ris
from app.api.tasks import ServicesOf
from app.digest.bibtex import MEDIA_TYPE as BIBTEX_TYPE
from app.digest.feed import MEDIA_TYPE as ATOM_TYPE
from app.digest.feed import atom_feed
from app.digest.ris import MEDIA_TYPE as RIS_TYPE
from app.errors import BroadsheetError, ReaderNotFound
from app.installation.versions import project_version
from app.links import InvalidLink, Link, Links
from app.pages.accept import prefers_html
from app.pages.error_pages import error_rendering_route
from app.pages.links import link_error, link_of
from app.pages.rendering import PageRenderer

log = structlog.get_logger(__name__)

HEADERS: Final = {
    # Browsers run no scripts of the content, and send no `Referer` with the secret address.
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_FEED_TYPES: Final = (ATOM_TYPE, "application/rss+xml", "application/xml", "text/xml")
"""What feed readers accept; all of them read Atom."""

FeedLink = Annotated[Link, Depends(link_of("feed"))]
SavedLink = Annotated[Link, Depends(link_of("saved"))]


def exports_router(pages: PageRenderer) -> APIRouter:
    """Return the router of the exports."""

    def render_error(request: Request, error: BroadsheetError) -> Response:
        return _render_error(pages, request, error)

    router = APIRouter(prefix="/r", include_in_schema=False, route_class=error_rendering_route(render_error))

    _feed_route(router, pages)
    _saved_route(router)
    return router


def _feed_route(router: APIRouter, pages: PageRenderer) -> None:
    @router.api_route("/feed/{token}", methods=["GET", "HEAD"])
    async def feed(link: FeedLink, services: ServicesOf, request: Request) -> Response:
        reader = await services.readers.get(link.reader_id)
        links: Links = request.app.state.links
        address = links.export_urls(link.reader_id, link.generation).feed
        if _prefers_page(request):
            items = await services.digests.newest_items(link.reader_id)
            page = pages.page("feed.html.j2", reader=reader, address=address, items=items)
            page.headers["Vary"] = "Accept"
            return page
        newest = await services.digests.newest_digest(link.reader_id)
        updated = newest.created_at if newest else reader.created_at
        modified = {"Last-Modified": format_datetime(updated.astimezone(UTC), usegmt=True)}
        headers = HEADERS | modified | {"Vary": "Accept"} | etag_of(address, reader.name, str(newest))
        if is_not_modified(request.headers, headers):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        items = await services.digests.newest_items(link.reader_id)
        content = atom_feed(link.reader_id, reader.name, address, updated, items)
        return Response(content, media_type=f"{ATOM_TYPE}; charset=utf-8", headers=headers)


def _saved_route(router: APIRouter) -> None:

    @router.api_route("/saved/{token}", methods=["GET", "HEAD"])
    async def saved(link: SavedLink, services: ServicesOf, request: Request) -> Response:
        if request.query_params.get("format") == "ris":
            export, name, media_type = saved_ris, "saved.ris", RIS_TYPE
        else:
            export, name, media_type = saved_bibtex, "saved.bib", BIBTEX_TYPE
        version = await services.reader_papers.saved_version(link.reader_id)
        headers = HEADERS | attachment(name) | etag_of(name, str(link.reader_id), version)
        if is_not_modified(request.headers, headers):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if request.method == "HEAD":
            return StreamingResponse(_nothing(), media_type=media_type, headers=headers)
        content = await export(services.reader_papers, link.reader_id)
        return StreamingResponse(content, media_type=media_type, headers=headers)


async def _nothing() -> AsyncIterator[str]:
    """The body of a response to HEAD. Unlike an empty text, it has no length."""
    no_texts: tuple[str, ...] = ()
    for text in no_texts:
        yield text


@cache
def _version() -> str:
    # Not at import: the boot check reports an unreadable file.
    return project_version()


def etag_of(*parts: str) -> dict[str, str]:
    """Return the caching headers of a response that depends only on `parts` (RFC 9110, 8.8.3).

    The version of this code is part of the tag, because another version may render the same parts differently.
    """
    digest = blake2b("\n".join((_version(), *parts)).encode(), digest_size=16).hexdigest()
    return {"ETag": f'"{digest}"', "Cache-Control": "private, max-age=300"}


def is_not_modified(request: Mapping[str, str], response: Mapping[str, str]) -> bool:
    """Whether the client already has this response, by both headers. `If-None-Match` overrides `If-Modified-Since`."""
    tags = request.get("if-none-match")
    if tags is not None:
        return any(tag.strip().removeprefix("W/") in {response["ETag"], "*"} for tag in tags.split(","))
    try:
        since = parsedate_to_datetime(request.get("if-modified-since", ""))
        return parsedate_to_datetime(response.get("Last-Modified", "")) <= since
    except (ValueError, TypeError, IndexError, OverflowError):  # invalid, or without a time zone
        return False


def _prefers_page(request: Request) -> bool:
    """Whether a browser shows the response; programs that read feeds accept Atom or anything."""
    return prefers_html(request.headers.get("accept", ""), *_FEED_TYPES)


def _render_error(pages: PageRenderer, request: Request, error: BroadsheetError) -> Response:
    if _prefers_page(request):
        response = link_error(pages, request, error)
        response.headers["Vary"] = "Accept"
        return response
    if isinstance(error, InvalidLink | ReaderNotFound):
        return _line(HTTPStatus.NOT_FOUND, "This address is not valid.")
    log.warning("request failed", route=route_of(request.scope), error=str(error))
    response = _line(HTTPStatus(error.status), "Temporary error. Please try again later.")
    response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def _line(status: HTTPStatus, text: str) -> Response:
    return PlainTextResponse(
        f"{text}\n", status_code=status, headers=HEADERS | {"Cache-Control": "no-store", "Vary": "Accept"}
    )
