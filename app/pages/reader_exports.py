"""What readers take into other programs, by signed addresses without a day: an Atom feed, and BibTeX of what was saved.

Programs ask again for years: an answer that they have is not made again, and errors are a line of text.
"""

from collections.abc import Mapping
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from functools import cache
from hashlib import blake2b
from http import HTTPStatus
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse

from app.api.problems import RETRY_AFTER, route_of
from app.api.saved import AS_FILE, saved_bibtex
from app.api.tasks import ServicesOf
from app.digest.bibtex import MEDIA_TYPE as BIBTEX_TYPE
from app.digest.feed import MEDIA_TYPE as ATOM_TYPE
from app.digest.feed import atom_feed
from app.errors import BroadsheetError, ReaderNotFound
from app.links import InvalidLink, Link, Links
from app.pages.error_pages import answering
from app.pages.links import link_of
from app.versions import project_version

log = structlog.get_logger(__name__)

HEADERS: Final = {
    # A browser that opens it gets nothing to run, and no address leaves by `Referer`.
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

FeedLink = Annotated[Link, Depends(link_of("feed"))]
SavedLink = Annotated[Link, Depends(link_of("saved"))]


def tools_router() -> APIRouter:
    """The routes of the addresses that a reader's other programs keep."""
    router = APIRouter(prefix="/r", include_in_schema=False, route_class=answering(_refusal))

    @router.api_route("/feed/{token}", methods=["GET", "HEAD"])
    async def feed(link: FeedLink, services: ServicesOf, request: Request) -> Response:
        reader = await services.readers.get(link.reader_id)
        newest = await services.digests.newest_digest(link.reader_id)
        links: Links = request.app.state.links
        address = links.for_tools(link.reader_id, link.generation).feed
        updated = newest.created_at if newest else reader.created_at
        modified = {"Last-Modified": format_datetime(updated.astimezone(UTC), usegmt=True)}
        headers = HEADERS | modified | etag_of(address, reader.name, str(newest))
        if is_known(request.headers, headers):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        items = await services.digests.newest_items(link.reader_id)
        content = atom_feed(link.reader_id, reader.name, address, updated, items)
        return Response(content, media_type=ATOM_TYPE, headers=headers)

    @router.api_route("/saved/{token}", methods=["GET", "HEAD"])
    async def saved(link: SavedLink, services: ServicesOf, request: Request) -> Response:
        content = await saved_bibtex(services.reader_papers, link.reader_id)
        headers = HEADERS | AS_FILE | etag_of(content)
        if is_known(request.headers, headers):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(content, media_type=BIBTEX_TYPE, headers=headers)

    return router


@cache
def _version() -> str:
    # Not at import: that a file cannot be read is for the boot check to say.
    return project_version()


def etag_of(*parts: str) -> dict[str, str]:
    """The headers by which an answer that is made of `parts` alone is known again (RFC 9110, 8.8.3).

    The next version of this code may make another one of the same.
    """
    digest = blake2b("\n".join((_version(), *parts)).encode(), digest_size=16).hexdigest()
    return {"ETag": f'"{digest}"', "Cache-Control": "private, max-age=300"}


def is_known(asked: Mapping[str, str], answer: Mapping[str, str]) -> bool:
    """Whether a request says that its sender has this answer; `If-None-Match` alone counts if there is one."""
    tags = asked.get("if-none-match")
    if tags is not None:
        return any(tag.strip().removeprefix("W/") in {answer["ETag"], "*"} for tag in tags.split(","))
    try:
        since = parsedate_to_datetime(asked.get("if-modified-since", ""))
        return parsedate_to_datetime(answer.get("Last-Modified", "")) <= since
    except (ValueError, TypeError, IndexError, OverflowError):  # no time, or one without a timezone
        return False


def _refusal(request: Request, error: BroadsheetError) -> Response:
    if isinstance(error, InvalidLink | ReaderNotFound):
        return _line(HTTPStatus.NOT_FOUND, "This address does not work (any more).")
    log.warning("request failed", route=route_of(request.scope), error=str(error))
    answer = _line(HTTPStatus(error.status), "This cannot be read just now. Please try again later.")
    answer.headers["Retry-After"] = str(RETRY_AFTER)
    return answer


def _line(status: HTTPStatus, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=status, headers=HEADERS | {"Cache-Control": "no-store"})
