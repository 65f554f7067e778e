"""Verification of readers' signed links, and the error pages of the routes behind them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Final

import structlog
from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from app.api.problems import retry_headers, route_of
from app.api.tasks import get_services
from app.days import utc_today
from app.errors import BroadsheetError, InvalidCursor, NotFound, TooManyPapers
from app.links import ExportUrls, InvalidLink, Link, Links
from app.pages.error_pages import error_rendering_route
from app.pages.rendering import PageRenderer
from app.persistence.readers import Reader

log = structlog.get_logger(__name__)

MAX_LINK_AGE: Final = timedelta(days=400)
"""Maximum age of links that show a reader's data. Links that stop mails do not expire."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request through a verified link: the reader, and the links to this reader's other pages."""

    reader: Reader
    link: Link
    links: Links

    @property
    def can_navigate(self) -> bool:
        """Whether the link is recent enough to show links to other pages, which carry the same day."""
        return self.link.day is not None and utc_today() - self.link.day <= MAX_LINK_AGE

    @property
    def tools(self) -> ExportUrls:
        """The feed and export addresses of this reader."""
        return self.links.export_urls(self.link.reader_id, self.link.generation)

    def path(self, purpose: str) -> str:
        """Return the path of this reader's page for `purpose`, signed with the same day and generation."""
        return self.links.path(purpose, self.link)


def link_of(purpose: str, *, max_age: timedelta | None = None) -> Callable[[str, Request], Awaitable[Link]]:
    """Return a dependency that verifies the request's link and returns it.

    It raises `InvalidLink`, `ReaderNotFound` (the reader was removed) and `SupabaseError`.
    """

    async def verified_link(token: str, request: Request) -> Link:
        return await _verified_link(purpose, token, request, max_age)

    return verified_link


def visit_of(purpose: str, *, max_age: timedelta | None = None) -> Callable[[str, Request], Awaitable[Visit]]:
    """Return a dependency that verifies the link and reads its reader. It raises the errors of `link_of`."""

    async def visit(token: str, request: Request) -> Visit:
        return await _visit(purpose, token, request, max_age)

    return visit


HomeVisit = Annotated[Visit, Depends(visit_of("home", max_age=MAX_LINK_AGE))]
"""The parameter of a route of the reader's page and of the pages below it."""


def item_visit_of(action: str, *, max_age: timedelta) -> Callable[[str, str, Request], Awaitable[Visit]]:
    """Return the dependency for a link about one item. Its purpose is `action:item`."""

    async def visit(item: str, token: str, request: Request) -> Visit:
        return await _visit(f"{action}:{item}", token, request, max_age)

    return visit


def link_route(pages: PageRenderer) -> type[APIRoute]:
    """Return a route class that renders errors as pages. All invalid links give the same page."""

    return error_rendering_route(lambda request, error: link_error(pages, request, error))


def link_error(pages: PageRenderer, request: Request, error: BroadsheetError) -> Response:
    """Return the page for an error behind a link. All invalid links give the same page."""
    if isinstance(error, InvalidLink | NotFound | InvalidCursor):
        return pages.page("link_refused.html.j2", status_code=HTTPStatus.NOT_FOUND)
    if isinstance(error, TooManyPapers):
        return pages.page("papers_full.html.j2", status_code=error.status)
    log.warning("request failed", route=route_of(request.scope), error=str(error))
    page = pages.page("link_failed.html.j2", status_code=error.status)
    page.headers.update(retry_headers(error))
    return page


async def _visit(purpose: str, token: str, request: Request, max_age: timedelta | None) -> Visit:
    link = await _verified_link(purpose, token, request, max_age)
    services = await get_services(request)
    reader = await services.readers.get(link.reader_id)
    return Visit(reader, link, request.app.state.links)


async def _verified_link(purpose: str, token: str, request: Request, max_age: timedelta | None) -> Link:
    links: Links | None = request.app.state.links
    if links is None:  # without LINK_SECRET no links exist
        raise InvalidLink
    link = links.read(purpose, token)
    services = await get_services(request)
    generation = await services.readers.link_generation(link.reader_id)
    link.require(generation, today=utc_today(), max_age=max_age)
    return link
