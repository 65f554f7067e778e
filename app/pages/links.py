"""Opens readers' signed links: whose a link is, and the one page for every link that does not work."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import structlog
from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.api.problems import route_of
from app.api.tasks import services_of
from app.errors import BroadsheetError, DigestNotFound, ReaderNotFound
from app.links import InvalidLink, Link, Links
from app.pages.refusals import answering
from app.pages.rendering import PageRenderer
from app.persistence.readers import Reader

log = structlog.get_logger(__name__)


def link_of(purpose: str, *, max_age: timedelta | None = None) -> Callable[[str, Request], Awaitable[Link]]:
    """The dependency that gives a route the link that it was opened by, which counts.

    It raises `InvalidLink`, `ReaderNotFound` (the reader was removed) and `SupabaseError`.
    """

    async def opened(token: str, request: Request) -> Link:
        links: Links | None = request.app.state.links
        if links is None:  # without a secret nobody was given a link
            raise InvalidLink
        link = links.read(purpose, token)
        generation = await services_of(request).readers.link_generation(link.reader_id)
        link.require(generation, today=datetime.now(UTC).date(), max_age=max_age)
        return link

    return opened


def reader_of(purpose: str, *, max_age: timedelta | None = None) -> Callable[[str, Request], Awaitable[Reader]]:
    """The dependency that gives a route whose link it was opened by; raises what `link_of` does."""
    opened_link = link_of(purpose, max_age=max_age)

    async def opened(token: str, request: Request) -> Reader:
        link = await opened_link(token, request)
        return await services_of(request).readers.get(link.reader_id)

    return opened


def link_route(pages: PageRenderer) -> type[APIRoute]:
    """The class of routes whose errors are pages, for people follow them: the same one whatever a link's fault is."""

    def refusal(request: Request, error: BroadsheetError) -> Response:
        if isinstance(error, InvalidLink | ReaderNotFound | DigestNotFound):
            return pages.page("link_refused.html.j2", status=HTTPStatus.NOT_FOUND)
        log.warning("request failed", route=route_of(request.scope), error=str(error))
        return pages.page("link_failed.html.j2", status=error.status)

    return answering(refusal)
