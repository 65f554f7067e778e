"""Opens readers' signed links: whose a link is, and the one page for every link that does not work."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.api.problems import route_of
from app.api.tasks import get_services
from app.days import utc_today
from app.errors import BroadsheetError, InvalidCursor, NotFound, TooManyPapers
from app.links import ExportUrls, InvalidLink, Link, Links
from app.pages.error_pages import answering
from app.pages.rendering import PageRenderer
from app.persistence.readers import Reader

log = structlog.get_logger(__name__)

SHOWING_FOR: Final = timedelta(days=400)
"""How old a link may be that shows what a reader wrote or was written. Those that stop mails never grow too old."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A reader who came by a link, and the way to everything else that is this reader's."""

    reader: Reader
    link: Link
    links: Links

    @property
    def leads_on(self) -> bool:
        """Whether the link is young enough for those that show something: what it leads to is as old as itself."""
        return self.link.day is not None and utc_today() - self.link.day <= SHOWING_FOR

    @property
    def tools(self) -> ExportUrls:
        """Where this reader's other programs find what is new and what was saved."""
        return self.links.export_urls(self.link.reader_id, self.link.generation)

    def path(self, purpose: str) -> str:
        """Return where a purpose's page of this reader is, by a link of the same day and generation."""
        return self.links.path(purpose, self.link)


def link_of(purpose: str, *, max_age: timedelta | None = None) -> Callable[[str, Request], Awaitable[Link]]:
    """The dependency that gives a route the link that it was opened by, which counts.

    It raises `InvalidLink`, `ReaderNotFound` (the reader was removed) and `SupabaseError`.
    """

    async def opened(token: str, request: Request) -> Link:
        return await _opened(purpose, token, request, max_age)

    return opened


def visit_of(purpose: str, *, max_age: timedelta | None = None) -> Callable[[str, Request], Awaitable[Visit]]:
    """The dependency that gives a route who came by its link; raises what `link_of` does."""

    async def opened(token: str, request: Request) -> Visit:
        return await _visit(purpose, token, request, max_age)

    return opened


def visit_from_link(act: str, *, max_age: timedelta) -> Callable[[str, str, Request], Awaitable[Visit]]:
    """As `visit_of`, for a link that is about one item: its purpose is `act:item`."""

    async def opened(item: str, token: str, request: Request) -> Visit:
        return await _visit(f"{act}:{item}", token, request, max_age)

    return opened


def link_route(pages: PageRenderer) -> type[APIRoute]:
    """The class of routes whose errors are pages, for people follow them: the same one whatever a link's fault is."""

    def refusal(request: Request, error: BroadsheetError) -> Response:
        if isinstance(error, InvalidLink | NotFound | InvalidCursor):
            return pages.page("link_refused.html.j2", status=HTTPStatus.NOT_FOUND)
        if isinstance(error, TooManyPapers):
            return pages.page("papers_full.html.j2", status=error.status)
        log.warning("request failed", route=route_of(request.scope), error=str(error))
        return pages.page("link_failed.html.j2", status=error.status)

    return answering(refusal)


async def _visit(purpose: str, token: str, request: Request, max_age: timedelta | None) -> Visit:
    link = await _opened(purpose, token, request, max_age)
    services = await get_services(request)
    reader = await services.readers.get(link.reader_id)
    return Visit(reader, link, request.app.state.links)


async def _opened(purpose: str, token: str, request: Request, max_age: timedelta | None) -> Link:
    links: Links | None = request.app.state.links
    if links is None:  # without a secret nobody was given a link
        raise InvalidLink
    link = links.read(purpose, token)
    services = await get_services(request)
    generation = await services.readers.link_generation(link.reader_id)
    link.require(generation, today=utc_today(), max_age=max_age)
    return link
